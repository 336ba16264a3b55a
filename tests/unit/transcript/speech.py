"""Made-up recognitions and transcripts for the tests of this folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from consumer.events.recording import Options, Recording
from consumer.events.transcript import Transcript
from consumer.transcript.assembly import assemble
from consumer.transcript.types import (
    SAMPLE_RATE,
    DecodedAudio,
    ModelInfo,
    Recognition,
    Span,
    StoredObject,
    Timing,
    Track,
    Word,
)

MODEL = ModelInfo("paraformer", "v1", "fsmn-vad@v2", "ct-transformer@v3", "float32", "cpu")
STORED = StoredObject(Path("/spool/1.object"), size=1234, etag="d41d8", version_id=None)
TIMING = Timing(queued_ms=1, fetch_ms=2, decode_ms=3, engine_ms=4, total_ms=10)


def audio(duration_ms: int, channels: int = 1, warnings: tuple[str, ...] = ()) -> DecodedAudio:
    tracks = tuple(Track(n, Path(f"/spool/{n}.pcm"), duration_ms * SAMPLE_RATE // 1000) for n in range(channels))
    return DecodedAudio(tracks, duration_ms, "wav", "pcm_s16le", SAMPLE_RATE, channels, warnings)


def words(text: str, start_ms: int = 0, each_ms: int = 200, confidence: float = 0.9) -> tuple[Word, ...]:
    """Words of a text in which spaces separate them, a mark glued to its word: ``"你 好， hello."``."""
    found = []
    for number, chunk in enumerate(text.split()):
        mark = chunk[-1] if len(chunk) > 1 and not chunk[-1].isalnum() else ""
        begin = start_ms + number * each_ms
        found.append(Word(chunk.removesuffix(mark), begin, begin + each_ms, confidence, mark))
    return tuple(found)


def spaced(text: str) -> str:
    """Chinese text with a space after every character and its mark, as `words` wants it."""
    return re.sub(r"(\w\W?)", r"\1 ", text.replace(" ", "")).strip()


def span(text: str, start_ms: int = 0, channel: int = 0, each_ms: int = 200) -> Span:
    said = words(text, start_ms, each_ms)
    return Span(channel, start_ms, said[-1].end_ms if said else start_ms + 500, said)


def transcript_of(
    spans: Sequence[Span],
    *,
    duration_ms: int = 60_000,
    channels: int = 1,
    options: Options | None = None,
    warnings: tuple[str, ...] = (),
) -> Transcript:
    recording = Recording(bucket="audio-in", key="a b+c.wav", options=options or Options(), metadata={"case": "7"})
    return assemble(recording, STORED, audio(duration_ms, channels), Recognition(tuple(spans), MODEL, warnings), TIMING)


TEXTS = st.one_of(
    st.sampled_from("今天天气很好我们去北京听写"),
    st.sampled_from(["hello", "world", "app", "a", "7", "don't", "A&B", "<i>", "ß", "中国", "supercalifragilistic"]),
)
MARKS = st.sampled_from(["", "", "", "", "，", "。", "？", "！", "、", ",", ".", "?"])


@st.composite
def spans(draw: st.DrawFn, most_channels: int = 2) -> list[Span]:
    """Spans as an engine hands them out: by channel, then by time; words may leave their span and the recording."""
    found = []
    for channel in range(draw(st.integers(1, most_channels))):
        at = draw(st.integers(0, 3_000))
        for _ in range(draw(st.integers(0, 4))):
            begin, said = at, []
            for text, mark, length, gap in draw(
                st.lists(st.tuples(TEXTS, MARKS, st.integers(0, 900), st.integers(-60, 400)), max_size=25)
            ):
                start = max(0, at + gap)
                said.append(Word(text, start, start + length, draw(st.floats(0, 1)), mark))
                at = start + length
            found.append(Span(channel, begin, max(at, begin), tuple(said)))
            at += draw(st.integers(0, 2_500))
    return found
