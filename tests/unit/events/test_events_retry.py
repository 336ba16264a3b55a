from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import StorageTimeout, StorageUnavailable
from consumer.events.headers import ATTEMPT, FIRST_SEEN, HISTORY, NOT_BEFORE, RECORDING, last
from consumer.events.retry import Story, due_ms, read_story, retry_headers

FIRST = Story(topic="audio-uploaded", partition=2, offset=41, first_seen_ms=1_000)
AS_READ = Story(topic="audio-uploaded.retry.30s", partition=0, offset=7, first_seen_ms=9_000)

names = st.sampled_from(
    [ATTEMPT, FIRST_SEEN, HISTORY, NOT_BEFORE, RECORDING, "kafka_dlt-original-offset", "traceparent"]
)
headers = st.lists(st.tuples(names, st.one_of(st.none(), st.binary(max_size=30))), max_size=12)


def test_a_story_survives_its_way_through_a_topic() -> None:
    story = FIRST.failed(StorageTimeout("slow"), 5, 2_000)
    written = retry_headers([("traceparent", b"00-ab")], story, not_before_ms=32_000, recording_id="audio/a.wav")
    assert written[0] == ("traceparent", b"00-ab")
    assert read_story(written, AS_READ) == story
    assert due_ms(written) == 32_000
    assert last(written, RECORDING) == b"audio/a.wav"


def test_every_round_is_told() -> None:
    story = FIRST.failed(StorageTimeout("slow"), 5, 2_000).failed(StorageUnavailable("503"), 3, 40_000)
    assert story.attempts == 8
    assert json.loads(story.history) == [
        {"attempts": 5, "class": "storage_timeout", "stage": "fetch", "timestamp": 2_000},
        {"attempts": 3, "class": "storage_unavailable", "stage": "fetch", "timestamp": 40_000},
    ]


@given(headers)
def test_headers_are_replaced_never_appended(original: list[tuple[str, bytes | None]]) -> None:
    story = FIRST.failed(StorageTimeout("slow"), 1, 5)
    once = retry_headers(original, story, not_before_ms=1, recording_id=None)
    twice = retry_headers(once, story.failed(StorageTimeout("slow"), 1, 6), not_before_ms=2, recording_id=None)
    assert [name for name, _ in once] == [name for name, _ in twice]
    assert due_ms(twice) == 2


@given(headers)
def test_foreign_headers_never_break_a_story(original: list[tuple[str, bytes | None]]) -> None:
    story = read_story(original, AS_READ)
    assert story.attempts >= 0
    assert isinstance(json.loads(story.failed(StorageTimeout("slow"), 1, 5).history), list)
    assert due_ms(original) >= 0


def test_a_recording_that_an_earlier_record_named_stays_named() -> None:
    kept = retry_headers([(RECORDING, b"audio/b.wav")], FIRST, not_before_ms=0, recording_id=None)
    assert last(kept, RECORDING) == b"audio/b.wav"
