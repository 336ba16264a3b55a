from __future__ import annotations

import itertools
import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.events.recording import Options
from consumer.events.transcript import Transcript
from consumer.transcript.text import SENTENCE_ENDS
from consumer.transcript.types import Span, Word
from tests.unit.transcript.speech import MODEL, span, spans, transcript_of

SCHEMA = Transcript.model_json_schema()
WORD, SENTENCE, NONE = Options(timestamps="word"), Options(timestamps="sentence"), Options(timestamps="none")


def said(found: list[Span]) -> list[str]:
    return sorted(word.text + word.mark for one in found for word in one.words)


def test_cuts_at_sentence_ends_and_span_ends() -> None:
    transcript = transcript_of([span("你 好。 再 见？ 我"), span("们 走！", 5_000)])
    assert [(each.text, each.start_ms, each.end_ms) for each in transcript.segments] == [
        ("你好。", 0, 400),
        ("再见？", 400, 800),
        ("我", 800, 1_000),
        ("们走！", 5_000, 5_400),
    ]
    assert transcript.text == "你好。再见？我们走！"
    assert transcript.status == "completed"


def test_channels_are_ordered_by_time_and_told_apart() -> None:
    transcript = transcript_of(
        [span("喂。"), span("在 吗？", 400), span("再 见。", 9_000), span("在。", 3_000, channel=1)], channels=2
    )
    assert [(each.id, each.channel, each.text) for each in transcript.segments] == [
        (0, 0, "喂。"),
        (1, 0, "在吗？"),
        (2, 1, "在。"),
        (3, 0, "再见。"),
    ]
    assert transcript.text == "喂。在吗？\n在。\n再见。"


def test_who_begins_at_once_is_ordered_by_channel() -> None:
    transcript = transcript_of([span("一。"), span("二。", channel=1)], channels=2)
    assert [each.channel for each in transcript.segments] == [0, 1]


def test_spaces_between_segments_follow_the_words() -> None:
    assert transcript_of([span("hello."), span("world.", 900), span("你 好。", 2_000)]).text == "hello. world.你好。"


@pytest.mark.parametrize("found", [[], [Span(0, 100, 900, ())]], ids=["no spans", "a span without words"])
def test_without_words_nobody_spoke(found: list[Span]) -> None:
    transcript = transcript_of(found)
    assert (transcript.status, transcript.text, transcript.confidence) == ("no_speech", "", 0)
    assert transcript.segments == ()
    assert transcript.speech_ms == sum(each.end_ms - each.start_ms for each in found)


def test_what_the_timestamps_option_keeps() -> None:
    full, by_sentence, none = (transcript_of([span("你 好。 再 见。")], options=o) for o in (WORD, SENTENCE, NONE))
    assert [[word.text for word in each.words] for each in full.segments] == [["你", "好"], ["再", "见"]]
    assert [each.model_copy(update={"words": ()}) for each in full.segments] == list(by_sentence.segments)
    assert none.segments == ()
    assert none.text == by_sentence.text == full.text
    assert none.confidence == by_sentence.confidence == full.confidence


def test_speech_of_several_channels_counts_once() -> None:
    found = [Span(0, 0, 1_000, ()), Span(0, 4_000, 5_000, ()), Span(1, 500, 2_000, ()), Span(1, 4_200, 4_300, ())]
    assert transcript_of(found, channels=2).speech_ms == 2_000 + 1_000


def test_confidence_is_the_mean_over_words() -> None:
    long, short = Word("你", 0, 9_000, 0.5, "。"), (Word("好", 9_000, 9_100, 0.9), Word("吗", 9_100, 9_200, 0.8))
    transcript = transcript_of([Span(0, 0, 10_000, (long, *short))])
    assert [each.confidence for each in transcript.segments] == [0.5, 0.85]
    assert transcript.confidence == 0.7333


def test_times_stay_inside_the_recording() -> None:
    transcript = transcript_of(
        [Span(0, -50, 9_000, (Word("你", -50, 100, 1), Word("好", 4_900, 9_000, 1)))], duration_ms=5_000
    )
    (segment,) = transcript.segments
    assert [(word.start_ms, word.end_ms) for word in segment.words] == [(0, 100), (4_900, 5_000)]
    assert transcript.speech_ms == 5_000


def test_carries_where_it_came_from_and_what_made_it() -> None:
    transcript = transcript_of([span("好。")], channels=2)
    assert transcript.source.model_dump() == {
        "bucket": "audio-in",
        "key": "a b+c.wav",
        "version_id": None,
        "etag": "d41d8",
        "size": 1234,
        "format": "wav",
        "codec": "pcm_s16le",
        "sample_rate": 16_000,
        "channels": 2,
    }
    assert transcript.model.model_dump() == {
        "name": "paraformer",
        "revision": "v1",
        "vad": "fsmn-vad@v2",
        "punctuation": "ct-transformer@v3",
        "dtype": "float32",
    }
    assert list(transcript.timing.model_dump().values()) == [1, 2, 3, 4, 10]
    assert transcript.metadata == {"case": "7"}


def test_the_id_follows_options_alone_for_one_object() -> None:
    first, again, other = (
        transcript_of([span(text)], options=o) for text, o in (("好", WORD), ("坏", WORD), ("好", NONE))
    )
    assert first.id == again.id != other.id


def test_says_what_it_did_not_do() -> None:
    transcript = transcript_of([], options=Options(formats=("srt", "txt")), warnings=("hotwords are not used",))
    assert transcript.warnings[0] == "hotwords are not used"
    assert "options.formats" in transcript.warnings[1]
    assert "srt, txt" in transcript.warnings[1]


def test_says_when_another_model_was_asked_for() -> None:
    assert transcript_of([], for_model=MODEL.revision).warnings == ()
    (warning,) = transcript_of([], for_model="v9").warnings
    assert warning == f"model revision v9 was asked for, and {MODEL.revision} heard this"


@given(spans(), st.integers(0, 40_000), st.sampled_from([WORD, SENTENCE, NONE]))
def test_is_valid_whatever_was_heard(found: list[Span], duration_ms: int, options: Options) -> None:
    transcript = transcript_of(found, duration_ms=duration_ms, channels=2, options=options)
    jsonschema.validate(json.loads(transcript.to_bytes()), SCHEMA)
    assert Transcript.model_validate_json(transcript.to_bytes()) == transcript
    assert transcript.speech_ms <= duration_ms


@given(spans(), st.integers(0, 40_000))
def test_times_are_monotone(found: list[Span], duration_ms: int) -> None:
    transcript = transcript_of(found, duration_ms=duration_ms, channels=2)
    assert [each.id for each in transcript.segments] == list(range(len(transcript.segments)))
    order = [(each.start_ms, each.channel) for each in transcript.segments]
    assert order == sorted(order)
    for segment in transcript.segments:
        assert 0 <= segment.start_ms <= segment.end_ms <= duration_ms
        assert segment.start_ms == segment.words[0].start_ms
        assert segment.end_ms == max(word.end_ms for word in segment.words)
        for word, after in itertools.pairwise(segment.words):
            assert word.start_ms <= after.start_ms
    for channel in (0, 1):
        starts = [w.start_ms for each in transcript.segments if each.channel == channel for w in each.words]
        assert starts == sorted(starts)


@given(spans())
def test_nothing_is_lost(found: list[Span]) -> None:
    transcript = transcript_of(found, channels=2)
    heard = [word for each in found for word in each.words]
    assert sorted(word.text for each in transcript.segments for word in each.words) == sorted(w.text for w in heard)
    spaceless = "".join(each.text for each in transcript.segments).replace(" ", "")
    assert sorted(spaceless) == sorted("".join(word.text + word.mark for word in heard))
    assert transcript.text.replace(" ", "").replace("\n", "") == spaceless


@given(spans(most_channels=1))
def test_one_channel_keeps_the_order_of_words(found: list[Span]) -> None:
    transcript = transcript_of(found)
    heard = "".join(word.text + word.mark for each in found for word in each.words)
    assert transcript.text.replace(" ", "") == heard
    assert "\n" not in transcript.text


@given(spans())
def test_a_segment_is_within_a_span_and_a_sentence(found: list[Span]) -> None:
    transcript = transcript_of(found, duration_ms=10**9, channels=2)
    assert len(transcript.segments) == sum(
        bool(each.words) + sum(word.mark in SENTENCE_ENDS for word in each.words[:-1] if word.mark) for each in found
    )
