"""What the rest of the program hands the engine; no model library in sight."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.transcript.types import Track


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One recording to transcribe.

    Attributes:
        tracks: its channels, at least one.
        language: BCP 47 tag the event asked for.
        hotwords: phrases to favour, where the model can; data, never a path or a URL.
    """

    tracks: tuple[Track, ...]
    language: str = "zh"
    hotwords: tuple[str, ...] = ()
