"""Batches on their way through the recogniser, and what is done where the device has no room for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from consumer.engine.batcher import AdaptiveBound, Segment
from consumer.engine.device import no_memory, reason_of
from consumer.engine.recogniser import Decoding, Encoded, Recogniser
from consumer.errors import DeviceMemoryExhausted
from consumer.transcript.types import Word


class Waiting(NamedTuple):
    """A segment with what the recogniser needs to know of it.

    Attributes:
        segment: the segment.
        mel: its mel frames, [frames, 80].
        start_ms: where it begins in its recording.
    """

    segment: Segment
    mel: torch.Tensor
    start_ms: int


class Heard(NamedTuple):
    """What became of a segment.

    Attributes:
        segment: the segment.
        words: what was heard in it; or why the device could not tell.
    """

    segment: Segment
    words: tuple[Word, ...] | DeviceMemoryExhausted


@dataclass(slots=True)
class _Batch:
    segments: Sequence[Waiting]
    encoded: Encoded | None = None
    decoding: Decoding | None = None

    def encode(self, recogniser: Recogniser) -> None:
        self.encoded = recogniser.encode([waiting.mel for waiting in self.segments])

    def decode(self, recogniser: Recogniser) -> None:
        assert self.encoded is not None
        self.decoding = recogniser.decode(self.encoded)
        self.encoded = None

    def recognise(self, recogniser: Recogniser) -> None:
        self.encode(recogniser)
        self.decode(recogniser)

    def heard(self, recogniser: Recogniser) -> list[Heard]:
        assert self.decoding is not None
        frames = [len(waiting.mel) for waiting in self.segments]
        words = recogniser.words(self.decoding, frames, [waiting.start_ms for waiting in self.segments])
        return [Heard(waiting.segment, found) for waiting, found in zip(self.segments, words, strict=True)]


class RecogniserLine:
    """At most two batches at a time: one that is encoded, and one before it whose words can be fetched.

    Args:
        recogniser: the model.
        bound: of a batch's size; lowered where the device has no room.
        clock: seconds, monotonic; that of `bound`.
    """

    def __init__(
        self, recogniser: Recogniser, bound: AdaptiveBound, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recogniser = recogniser
        self._bound = bound
        self._clock = clock
        self._encoding: _Batch | None = None
        self._decoding: _Batch | None = None
        self._heard: list[Heard] = []

    def __bool__(self) -> bool:
        """Whether there are words to fetch."""
        return self._decoding is not None or bool(self._heard)

    @property
    def recordings(self) -> tuple[Hashable, ...]:
        """Whose segments are being encoded."""
        segments = self._encoding.segments if self._encoding else ()
        return tuple(dict.fromkeys(waiting.segment.recording for waiting in segments))

    def begin(self, segments: Sequence[Waiting]) -> None:
        """Begin to encode a batch; a GPU goes on with it by itself."""
        self._encoding = _Batch(segments)
        self._attempt(self._encoding, self._encoding.encode)

    def decide(self) -> None:
        """Go on to the tokens of the batch that was begun; the words of the one before were fetched."""
        batch, self._encoding = self._encoding, None
        if batch is not None and batch.encoded is not None and self._attempt(batch, batch.decode):
            self._decoding = batch

    def fetch(self) -> list[Heard]:
        """What became of the segments of the batch whose tokens are decided."""
        batch, self._decoding = self._decoding, None
        heard, self._heard = self._heard, []
        return heard if batch is None else [*heard, *batch.heard(self._recogniser)]

    def _attempt(self, batch: _Batch, step: Callable[[Recogniser], None]) -> bool:
        """Take a step with a batch; where the device has no room for it, recognise half of it at a time instead."""
        try:
            step(self._recogniser)
        except torch.OutOfMemoryError as cause:
            reason = reason_of(cause)
        else:
            return True
        # Outside of the handler, whose traceback would keep the batch's memory.
        batch.encoded = None
        self._recover(batch.segments, reason)
        return False

    def _recover(self, segments: Sequence[Waiting], reason: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # only here: the pieces that are free may be too small for any half
        longest_ms = max(waiting.segment.length_ms for waiting in segments)
        self._bound.exceeded(longest_ms * len(segments), self._clock())
        if len(segments) == 1:
            error = no_memory(f"for a segment of {longest_ms / 1000:.1f} s by itself", reason)
            self._heard.append(Heard(segments[0].segment, error))
            return
        half = len(segments) // 2
        for part in (segments[:half], segments[half:]):
            again = _Batch(part)
            if self._attempt(again, again.recognise):
                self._heard += again.heard(self._recogniser)
