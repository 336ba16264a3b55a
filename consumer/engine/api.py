"""What the rest of the program hands the engine; no model library in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consumer.transcript.types import ModelInfo, Track


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


class EngineObserver:
    """Does nothing; subclasses override what they care for. Called on the engine's thread; must not block or raise."""

    def busy(self, busy: bool) -> None:
        """A round of work begins; or there is nothing to do until told otherwise."""

    def batch(self, lengths_ms: Sequence[int]) -> None:
        """The recogniser gets a batch of segments, each so long; all of them are padded to the longest."""

    def serving(self, model: ModelInfo) -> None:
        """These models hear what begins from now on."""

    def memory(self, usage: Mapping[str, int]) -> None:
        """Memory of the GPU in bytes, as `consumer.engine.device.memory` gives it; never told without one."""
