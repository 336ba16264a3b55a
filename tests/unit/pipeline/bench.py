"""A flow on fake stages that a test finishes by hand."""

from __future__ import annotations

import random
import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from consumer.events.recording import Options, Recording
from consumer.pipeline.flow import Flow
from consumer.pipeline.observer import Ended, Observer
from consumer.pipeline.retry import RetryPolicy
from consumer.pipeline.storing import Storing
from consumer.pipeline.work import Gates, Spooled
from consumer.stage import Doing, Outcome
from consumer.transcript.types import DecodedAudio, ModelInfo, Recognition, Span, StoredObject, Track, Word

MODEL = ModelInfo("demo", "1", "vad@1", "punc@1", "float32", "cpu")


class FakeStage:
    """Takes jobs while it has room; a test ends them."""

    def __init__(self, name: str, room: int = 1000) -> None:
        self.name = name
        self.room = room
        self.jobs: dict[Hashable, Any] = {}
        self.outcomes: list[Outcome[Any]] = []
        self.death: Exception | None = None
        self.cancelled: list[Hashable] = []
        self.closed = False

    def start(self) -> None:
        pass

    def submit(self, tag: Hashable, job: Any) -> bool:
        if len(self.jobs) >= self.room:
            return False
        self.jobs[tag] = job
        return True

    def collect(self) -> list[Outcome[Any]]:
        if self.death is not None:
            raise self.death
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def cancel(self, tag: Hashable) -> None:
        self.cancelled.append(tag)

    def close(self, timeout_s: float) -> None:
        self.closed = True

    def doing(self) -> list[Doing]:
        return []

    def finish(self, tag: Hashable, value: object, elapsed_ms: int = 10) -> None:
        self.jobs.pop(tag)
        self.outcomes.append(Outcome(tag, value, elapsed_ms))


class FakeSpool:
    """On a disk that is full, or not, of what is not ours."""

    def __init__(self) -> None:
        self.removed: list[Path] = []
        self.full = False

    def crowded(self, without: int = 0) -> bool:
        return self.full

    def remove(self, path: Path) -> None:
        self.removed.append(path)


class Seen(Observer):
    def __init__(self) -> None:
        self.stages: list[tuple[Hashable, str]] = []
        self.ends: list[Ended] = []

    def entered(self, tag: Hashable, stage: str) -> None:
        self.stages.append((tag, stage))

    def ended(self, ended: Ended) -> None:
        self.ends.append(ended)


class Bench:
    """A flow on fakes."""

    def __init__(
        self,
        *,
        attempts: int = 3,
        gates: Gates | None = None,
        room: int = 1000,
        limit: int | None = None,
        spool: Spooled | None = None,
    ) -> None:
        """With a limit, transcripts whose record is larger are stored."""
        self.store = FakeStage("store", room)
        self.fetch, self.decode, self.engine = (FakeStage(name, room) for name in ("fetch", "decode", "engine"))
        self.spool = FakeSpool()
        self.seen = Seen()
        self.now = 0.0
        self.flow = Flow(
            fetch=self.fetch,
            decode=self.decode,
            engine=self.engine,
            spool=spool or self.spool,
            retry=RetryPolicy(attempts, 100, 1000, random.Random(1)),
            gates=gates or Gates(bytes=10**9, audio_ms=10**9),
            wake=threading.Event(),
            observer=self.seen,
            storing=None if limit is None else Storing(self.store, limit, "tingxie"),
        )

    def admit(self, tag: Hashable, options: Options | None = None) -> None:
        recording = Recording(bucket="audio", key=f"{tag}.wav", options=options or Options())
        self.flow.admit(tag, recording, now=self.now, queued_ms=7)

    def step(self, seconds: float = 0.0) -> list[Ended]:
        self.now += seconds
        return self.flow.step(self.now)


def stored(tag: Hashable, size: int = 100) -> StoredObject:
    return StoredObject(path=Path(f"{tag}.object"), size=size, etag="e", version_id=None)


def decoded(tag: Hashable, duration_ms: int = 1000) -> DecodedAudio:
    track = Track(0, Path(f"{tag}.pcm"), duration_ms * 16)
    return DecodedAudio((track,), duration_ms, "wav", "pcm_s16le", 16_000, 1)


def heard(text: str = "好") -> Recognition:
    words = tuple(Word(each, 100, 200, 0.9) for each in text)
    return Recognition((Span(0, 100, 900, words),), MODEL)
