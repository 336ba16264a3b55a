from __future__ import annotations

from collections.abc import Callable

import pytest

from consumer.events.transcript import Model, Source, Timing, Transcript


@pytest.fixture
def transcribed() -> Callable[..., Transcript]:
    """Makes a transcript of a text; without one, nobody spoke."""

    def make(
        text: str,
        *,
        key: str = "a.wav",
        duration_ms: int = 1000,
        codec: str = "pcm_s16le",
        sample_rate: int = 16_000,
        channels: int = 1,
    ) -> Transcript:
        return Transcript(
            id="1f",
            status="completed" if text else "no_speech",
            source=Source(
                bucket="audio-in",
                key=key,
                etag="e",
                size=1,
                format="wav",
                codec=codec,
                sample_rate=sample_rate,
                channels=channels,
            ),
            duration_ms=duration_ms,
            speech_ms=duration_ms if text else 0,
            language="zh",
            text=text,
            confidence=0.9 if text else 0.0,
            model=Model(name="m", revision="r", vad="v", punctuation="p", dtype="float32"),
            timing=Timing(queued_ms=0, fetch_ms=0, decode_ms=0, engine_ms=0, total_ms=0),
        )

    return make
