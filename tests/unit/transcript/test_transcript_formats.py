from __future__ import annotations

import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webvtt import WebVTT

from consumer.errors import UsageError
from consumer.events.recording import Options
from consumer.events.transcript import Transcript
from consumer.transcript.cues import CUE_MS, LINE_WIDTH, LINES, _width, cues
from consumer.transcript.formats import FORMATS, render
from consumer.transcript.types import Span, Word
from tests.unit.transcript.speech import spaced, span, spans, transcript_of

WORD, SENTENCE, NONE = Options(timestamps="word"), Options(timestamps="sentence"), Options(timestamps="none")
LONG = spaced("今天我们在北京开会， 讨论明年的计划和预算， 还有很多别的事情要说清楚， 请大家准时到场。")


def srt(transcript: Transcript) -> WebVTT:
    return WebVTT.from_buffer(io.StringIO(render(transcript, "srt")), format="srt")


def vtt(transcript: Transcript) -> WebVTT:
    return WebVTT.from_string(render(transcript, "vtt"), strict=True)


def test_srt_to_the_letter() -> None:
    transcript = transcript_of(
        [span("你 好。", 1_000, each_ms=600), span("再 见！", 3_723_004, each_ms=600)], duration_ms=4_000_000
    )
    assert render(transcript, "srt") == (
        "1\n00:00:01,000 --> 00:00:02,200\n你好。\n\n2\n01:02:03,004 --> 01:02:04,204\n再见！\n"
    )


def test_vtt_to_the_letter() -> None:
    transcript = transcript_of(
        [span("A&B <i> 好。", each_ms=600), span("在。", 2_000, channel=1, each_ms=1_000)], channels=2
    )
    assert render(transcript, "vtt") == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.800\n<v Channel 1>A&amp;B &lt;i&gt;好。\n\n"
        "00:00:02.000 --> 00:00:03.000\n<v Channel 2>在。\n"
    )


def test_srt_names_the_channels_where_there_are_several() -> None:
    transcript = transcript_of([span("喂。"), span("在。", 2_000, channel=1)], channels=2)
    assert [each.text for each in srt(transcript).captions] == ["[1] 喂。", "[2] 在。"]
    assert render(transcript, "txt") == "[1] 喂。\n[2] 在。\n"


def test_a_mix_of_channels_names_nobody() -> None:
    assert render(transcript_of([span("喂。")], channels=2), "txt") == "喂。\n"


def test_json_is_the_transcript() -> None:
    transcript = transcript_of([span("你 好。")])
    assert Transcript.model_validate_json(render(transcript, "json")) == transcript
    assert json.loads(render(transcript, "json")) == json.loads(transcript.to_bytes())
    assert render(transcript, "json").startswith('{\n  "id"')


def test_paragraphs_end_at_pauses_and_when_they_are_long() -> None:
    sentence = "一 二 三 四 五 六 七 八 九。"
    close = [span(sentence, number * 2_000) for number in range(25)]
    transcript = transcript_of(
        [
            span("你 好。"),
            span("hello.", 600),
            span("world.", 900),
            *[
                Span(
                    0,
                    each.start_ms + 10_000,
                    each.end_ms + 10_000,
                    tuple(Word(w.text, w.start_ms + 10_000, w.end_ms + 10_000, 1, w.mark) for w in each.words),
                )
                for each in close
            ],
        ],
        duration_ms=100_000,
    )
    first, second, third = render(transcript, "txt").splitlines()
    assert first == "你好。hello. world."
    assert second == "一二三四五六七八九。" * 20
    assert third == "一二三四五六七八九。" * 5


def test_text_without_segments_is_one_paragraph() -> None:
    assert render(transcript_of([span("你 好。 再 见。")], options=NONE), "txt") == "你好。再见。\n"


@pytest.mark.parametrize("format_", ["srt", "vtt"])
def test_subtitles_need_times(format_: str) -> None:
    with pytest.raises(UsageError, match=f"{format_} needs times"):
        render(transcript_of([span("好。")], options=NONE), format_)  # type: ignore[arg-type]


def test_silence() -> None:
    transcript = transcript_of([])
    assert [render(transcript, each) for each in ("txt", "srt", "vtt")] == ["", "", "WEBVTT\n"]
    assert vtt(transcript).captions == []


def test_a_long_sentence_is_cut_after_its_commas() -> None:
    found = cues(transcript_of([span(LONG, each_ms=150)]))
    assert [each.lines for each in found] == [
        ("今天我们在北京开会，", "讨论明年的计划和预算，"),
        ("还有很多别的事情要说清楚，", "请大家准时到场。"),
    ]


def test_slow_speech_is_cut_by_time() -> None:
    found = cues(transcript_of([span(LONG, each_ms=700)]))
    assert all(each.end_ms - each.start_ms <= CUE_MS for each in found)
    assert [each.lines for each in found] == [
        ("今天我们在北京开会，",),
        ("讨论明年的计划和预算，",),
        ("还有很多别的事情要说",),
        ("清楚，请大家准时到场。",),
    ]


def test_a_short_cue_stays_for_a_second_unless_somebody_speaks() -> None:
    found = cues(transcript_of([span("好。", 0), span("对。", 600), span("走。", 5_000)], duration_ms=5_300))
    assert [(each.start_ms, each.end_ms) for each in found] == [(0, 600), (600, 1_600), (5_000, 5_300)]


def test_who_speaks_at_the_same_time_is_shown_one_after_the_other() -> None:
    found = cues(transcript_of([span("你 好 吗。", each_ms=1_000), span("好。", channel=1)], channels=2))
    assert [(each.channel, each.start_ms, each.end_ms) for each in found] == [(0, 0, 1_000), (1, 1_000, 2_000)]


def test_a_word_that_breaks_every_limit_is_alone() -> None:
    long_word = "x" * 50
    said = (Word("你", 0, 100, 1), Word(long_word, 100, 9_100, 1), Word("好", 9_100, 9_200, 1, "。"))
    assert [each.lines for each in cues(transcript_of([Span(0, 0, 10_000, said)]))] == [
        ("你",),
        (long_word,),
        ("好。",),
    ]


def test_without_words_times_are_interpolated() -> None:
    full, coarse = (transcript_of([span(LONG, 2_000, each_ms=150)], options=each) for each in (WORD, SENTENCE))
    assert [each.lines for each in cues(coarse)] == [each.lines for each in cues(full)]
    assert all(abs(a.start_ms - b.start_ms) < 300 for a, b in zip(cues(coarse), cues(full), strict=True))


@pytest.mark.parametrize("text", ["hello world, again", "你好hello。再见", "don't <stop>", "——你好", "…"])
def test_interpolation_keeps_text(text: str) -> None:
    transcript = transcript_of([span("好。")], options=SENTENCE)
    segment = transcript.segments[0].model_copy(update={"text": text})
    (cue,) = cues(transcript.model_copy(update={"segments": (segment,)}))
    assert cue.lines == (text,)


@given(spans(), st.integers(20_000, 200_000), st.sampled_from([WORD, SENTENCE]))
def test_cues_keep_their_limits(found: list[Span], duration_ms: int, options: Options) -> None:
    transcript = transcript_of(found, duration_ms=duration_ms, channels=2, options=options)
    shown = cues(transcript, lambda channel: f"[{channel}] ")
    for cue in shown:
        assert cue.start_ms < cue.end_ms
        assert 1 <= len(cue.lines) <= LINES
        assert all(line == line.strip() != "" for line in cue.lines)
        for number, line in enumerate(cue.lines):
            assert _width(line) + (40 if number == 0 else 0) <= LINE_WIDTH
        assert cue.end_ms - cue.start_ms <= CUE_MS
    for cue, after in itertools.pairwise(shown):
        assert cue.end_ms <= after.start_ms


@given(spans(), st.sampled_from([WORD, SENTENCE]))
def test_cues_hold_the_whole_text(found: list[Span], options: Options) -> None:
    transcript = transcript_of(found, channels=2, options=options)
    for channel in (0, 1):
        said = "".join(each.text for each in transcript.segments if each.channel == channel)
        shown = "".join("".join(cue.lines) for cue in cues(transcript) if cue.channel == channel)
        assert shown.replace(" ", "") == said.replace(" ", "")


@given(spans(), st.sampled_from([WORD, SENTENCE]))
def test_independent_parsers_read_what_was_written(found: list[Span], options: Options) -> None:
    transcript = transcript_of(found, channels=2, options=options)
    shown = cues(transcript)
    names = any(each.channel for each in transcript.segments)
    read = vtt(transcript)
    assert [(each.start_time.in_milliseconds(), each.end_time.in_milliseconds()) for each in read.captions] == [
        (each.start_ms, each.end_ms) for each in shown
    ]
    assert [each.voice for each in read.captions] == [
        f"Channel {each.channel + 1}" if names else None for each in shown
    ]
    if shown:
        labelled = cues(transcript, lambda channel: f"[{channel + 1}] " if names else "")
        assert [each.raw_text for each in srt(transcript).captions] == [
            (f"[{each.channel + 1}] " if names else "") + "\n".join(each.lines) for each in labelled
        ]


@given(spans(most_channels=1))
def test_plain_text_loses_nothing(found: list[Span]) -> None:
    transcript = transcript_of(found)
    assert "".join(render(transcript, "txt").split()) == "".join(transcript.text.split())


def test_every_format_is_tested_here() -> None:
    assert FORMATS == ("txt", "json", "srt", "vtt")
