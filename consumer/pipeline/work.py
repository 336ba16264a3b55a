"""What a flow knows about one recording, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol

from consumer.audio.decoder import DecodeJob
from consumer.engine.api import EngineJob
from consumer.events.recording import Recording
from consumer.events.transcript import Transcript
from consumer.transcript.types import DecodedAudio, StoredObject

ORDER = ("fetch", "decode", "engine", "store")
"""Stages in the order a recording passes them. Only transcripts that are too large for an event pass the last."""

FETCH, DECODE, _, STORE = range(len(ORDER))

Job = Recording | DecodeJob | EngineJob | Transcript


class Spooled(Protocol):
    """Where fetched and decoded audio lies while in work."""

    def remove(self, path: Any) -> None:
        """Delete a file; nothing happens when it is gone already."""

    def crowded(self, without: int = 0) -> bool:
        """Whether the disk has less room than should be left free, or would have without so many bytes of ours."""


@dataclass(frozen=True, slots=True)
class Gates:
    """How much may lie in the spool before a stage is given more to do."""

    bytes: int
    audio_ms: int


@dataclass(slots=True)
class Work:
    """One recording in work; the loop thread alone reads and writes it.

    Attributes:
        tag: what it was admitted under.
        recording: what was asked for.
        queued_ms: how long its event waited before.
        admitted_s: monotonic seconds.
        stage: index into `ORDER`.
        begun: whether a stage has taken it.
        attempt: number of the current try of that stage.
        most_attempts: tries of the stage that was tried most often.
        stored: the object in the spool, while it lies there.
        audio: its samples in the spool, while they lie there.
        transcript: once it is assembled, if it is to be stored.
        refused: the broker refused the transcript as a record.
        busy: whether a stage has it now.
        waits_for_room: the disk was full when it was tried.
        alone: nothing else was on the disk, or was written there, in the current try.
        stage_ms: time in each stage so far.
    """

    tag: Hashable
    recording: Recording
    queued_ms: int
    admitted_s: float
    stage: int = 0
    begun: bool = False
    attempt: int = 1
    most_attempts: int = 1
    stored: StoredObject | None = None
    audio: DecodedAudio | None = None
    transcript: Transcript | None = None
    refused: bool = False
    busy: bool = False
    waits_for_room: bool = False
    alone: bool = False
    stage_ms: dict[str, int] = field(default_factory=dict)

    @property
    def spools(self) -> bool:
        """Whether it has something on the spool's disk, or may have in a moment."""
        return self.stored is not None or self.audio is not None or (self.busy and self.stage == FETCH)

    @property
    def spooled_bytes(self) -> int:
        """What is known to lie on the spool's disk of it."""
        return (self.stored.size if self.stored else 0) + (self.audio.bytes if self.audio else 0)

    def job(self) -> Job:
        """What its stage has to do."""
        if self.transcript is not None:
            return self.transcript
        if self.stored is None:
            return self.recording
        options = self.recording.options
        if self.audio is None:
            return DecodeJob(path=self.stored.path, split=options.channels == "split")
        return EngineJob(tracks=self.audio.tracks, language=options.language, hotwords=options.hotwords)
