"""What the readers make of records; the service's own records are read in the rounds of tests/faults."""

from __future__ import annotations

import json

from consumer.errors import ObjectMissing
from consumer.events.headers import ATTEMPT, Headers
from consumer.kafka.records import Record
from tests.faults.reading import dead_letters_of, incoming_of, transcripts_of
from tests.unit.events.letters import letter_headers

NATIVE = json.dumps({"bucket": "audio", "key": "a b.wav", "metadata": {"upload": "run/1"}}).encode()
BY_BUCKET = json.dumps({"Records": [{"s3": {"bucket": {"name": "audio"}, "object": {"key": "run/2 c.wav"}}}]}).encode()


def record(value: bytes, headers: Headers = (), offset: int = 0) -> Record:
    return Record("topic", 1, offset, None, value, list(headers), 1_000)


def test_an_upload_is_known_by_the_name_we_gave_it_or_by_its_key() -> None:
    first, second = incoming_of([record(NATIVE), record(b'{"Event": "s3:TestEvent"}'), record(BY_BUCKET, offset=2)])
    assert (first.recording, first.object_id, first.place) == ("run/1", "audio/a b.wav", ("topic", 1, 0))
    assert (second.recording, second.object_id, second.place) == ("run/2 c.wav", "audio/run/2 c.wav", ("topic", 1, 2))


def test_a_record_of_a_retry_topic_tells_its_attempts() -> None:
    (copy,) = incoming_of([record(NATIVE, [(ATTEMPT, b"5")])])
    assert (copy.recording, copy.attempt) == ("run/1", 5)


def test_when_the_work_on_a_transcript_began_is_what_it_says_of_its_time() -> None:
    value = {
        "id": "x",
        "status": "completed",
        "source": {"bucket": "audio", "key": "a b.wav", "etag": "e"},
        "text": "你好。",
        "timing": {"queued_ms": 5_000, "total_ms": 5_400},
        "metadata": {"upload": "run/1"},
    }
    headers = [("ce_time", b"1970-01-01T00:00:09.000Z"), ("ce_source", b"member-1.2")]
    (end,) = transcripts_of([record(json.dumps(value).encode(), headers)])
    assert (end.recording, end.member, end.etag, end.text) == ("run/1", "member-1.2", "e", "你好。")
    assert end.begun_ms == 9_000 - 400
    assert end.at_ms == 1_000


def test_a_dead_letter_is_known_by_the_event_it_holds() -> None:
    headers = letter_headers(error=ObjectMissing("gone"), recording_id=None, timestamp_ms=900)
    (end,) = dead_letters_of([record(NATIVE, headers)])
    assert (end.recording, end.object_id, end.error_class, end.begun_ms) == (
        "run/1",
        "audio/a b.wav",
        "object_missing",
        900,
    )
    assert end.is_dead_letter
    assert not end.retryable


def test_a_dead_letter_of_what_is_no_event_is_known_by_its_place() -> None:
    headers = [("__dlq.errors.topic", b"uploads"), ("__dlq.errors.partition", b"3"), ("__dlq.errors.offset", b"9")]
    (end,) = dead_letters_of([record(b'{"Event": "?"}', headers)])
    assert end.recording == "uploads/3/9"
