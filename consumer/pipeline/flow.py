"""A recording's way from object to transcript: fetch → decode → engine → assemble (→ store), many at once.

The flow knows nothing of Kafka: ``tingxie run`` feeds it from a consumer group, ``tingxie transcribe`` from a list of
files. It owns all state about the recordings in work; stages own none. One thread calls it.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any

from consumer.audio.decoder import DecodeJob
from consumer.engine.api import EngineJob
from consumer.errors import RecordingError, RetryError, SpoolFull
from consumer.events.recording import Recording
from consumer.events.stored import StoredTranscript
from consumer.events.transcript import Transcript
from consumer.pipeline.observer import Ended, Load, Observer
from consumer.pipeline.retry import RetryPolicy
from consumer.pipeline.room import Room
from consumer.pipeline.storing import Storing
from consumer.pipeline.work import FETCH, ORDER, STORE, Gates, Spooled, Work
from consumer.stage import Doing, Outcome, Stage
from consumer.transcript.assembly import assemble
from consumer.transcript.types import DecodedAudio, Recognition, StoredObject, Timing

ROOM_WAIT_MS = 1000
"""How often a recording that found the spool's disk full looks for room."""


class Flow:
    """Moves recordings through the stages."""

    def __init__(
        self,
        *,
        fetch: Stage[Recording, StoredObject],
        decode: Stage[DecodeJob, DecodedAudio],
        engine: Stage[EngineJob, Recognition],
        spool: Spooled,
        retry: RetryPolicy,
        gates: Gates,
        wake: threading.Event,
        observer: Observer,
        storing: Storing | None = None,
    ) -> None:
        self._storing = storing
        self._stages: tuple[Stage[Any, Any], ...] = (fetch, decode, engine, *([storing.stage] if storing else []))
        self._spool = spool
        self._retry = retry
        self._wake = wake
        self._observer = observer
        self._works: dict[Hashable, Work] = {}
        self._room = Room(self._works, spool, gates)
        self._waiting: tuple[deque[Hashable], ...] = tuple(deque() for _ in ORDER)
        self._retries: list[tuple[float, int, Hashable]] = []
        self._sequence = itertools.count()

    @property
    def load(self) -> Load:
        """What is in work now."""
        return Load(records=len(self._works), bytes=self._room.bytes, audio_ms=self._room.audio_ms)

    @property
    def crowded(self) -> bool:
        """Whether the disk under the spool has no room for more recordings."""
        return self._spool.crowded()

    def start(self) -> None:
        """Start all stages, the engine's model included. Blocks; raises `StopError` when one cannot start."""
        for stage in self._stages:
            stage.start()

    def close(self, timeout_s: float) -> None:
        """Stop all stages; what is in work is abandoned."""
        deadline = time.monotonic() + timeout_s
        for stage in self._stages:
            stage.close(max(0.0, deadline - time.monotonic()))
        self.drop(list(self._works))

    def admit(self, tag: Hashable, recording: Recording, *, now: float, queued_ms: int = 0) -> None:
        """Take a recording into work under a tag that is not in use.

        Args:
            tag: returned in `Ended`.
            recording: what to transcribe.
            now: monotonic seconds.
            queued_ms: how long its event waited before.
        """
        self._works[tag] = Work(tag=tag, recording=recording, queued_ms=queued_ms, admitted_s=now)
        self._waiting[0].append(tag)
        self._observer.admitted(tag, recording)

    def store(self, ended: Ended, *, now: float) -> bool:
        """Take a recording into work again, under its tag, to store its transcript: the broker refused its record.

        Args:
            ended: how the work on it ended.
            now: monotonic seconds.

        Returns:
            False when there is nowhere to store it, or it is stored already.
        """
        if self._storing is None or not isinstance(ended.result, Transcript) or ended.result.transcript_uri is not None:
            return False
        assert ended.recording is not None
        self._works[ended.tag] = Work(
            tag=ended.tag,
            recording=ended.recording,
            queued_ms=0,
            admitted_s=now,
            stage=STORE,
            most_attempts=ended.attempts,
            transcript=ended.result,
            refused=True,
            stage_ms=dict(ended.stage_ms),
        )
        self._waiting[STORE].append(ended.tag)
        return True

    def begun(self, tag: Hashable) -> bool:
        """Whether a stage has a recording in work, or had."""
        work = self._works.get(tag)
        return work is not None and work.begun

    def drop(self, tags: Iterable[Hashable]) -> None:
        """Forget recordings, for instance of a partition that was revoked; late outcomes are discarded."""
        for tag in tags:
            if tag in self._works:
                for stage in self._stages:
                    stage.cancel(tag)
                self._forget(tag)

    def step(self, now: float) -> list[Ended]:
        """Collect what the stages finished, hand them what waits, and return what ended. Never blocks.

        Raises:
            StopError: a stage died; nothing more can be transcribed.
        """
        self._wake.clear()
        ended: list[Ended] = []
        for index, stage in enumerate(self._stages):
            for outcome in stage.collect():
                end = self._advance(index, outcome, now)
                if end is not None:
                    self._observer.ended(end)
                    ended.append(end)
        while self._retries and self._retries[0][0] <= now:
            _, _, tag = heapq.heappop(self._retries)
            if (work := self._works.get(tag)) is None:
                continue
            if work.waits_for_room:  # before all that would take the room it waits for
                self._waiting[work.stage].appendleft(tag)
            else:
                self._waiting[work.stage].append(tag)
        for index in range(len(self._stages)):
            self._feed(index)
        return ended

    def doing(self) -> list[Doing]:
        """What the stages' threads work on now. Any thread may ask; never blocks."""
        return [doing for stage in self._stages for doing in stage.doing()]

    def wait(self, timeout_s: float) -> None:
        """Block until a stage has an outcome, a retry is due, or the time is over."""
        if self._retries:
            timeout_s = min(timeout_s, max(0.0, self._retries[0][0] - time.monotonic()))
        self._wake.wait(timeout_s)

    def _feed(self, index: int) -> None:
        queue = self._waiting[index]
        while queue:
            work = self._works.get(queue[0])
            if work is None:
                queue.popleft()
                continue
            if not self._room.open(work) or not self._stages[index].submit(work.tag, work.job()):
                return
            queue.popleft()
            work.begun = work.busy = True
            self._room.taken(work)
            self._observer.entered(work.tag, ORDER[index])

    def _advance(self, index: int, outcome: Outcome[Any], now: float) -> Ended | None:
        """Apply a stage's outcome; returns the end, if that was it."""
        work = self._works.get(outcome.tag)
        if work is None or work.stage != index:
            self._discard(outcome.value)
            return None
        work.busy = False
        work.stage_ms[ORDER[index]] = work.stage_ms.get(ORDER[index], 0) + outcome.elapsed_ms
        value = outcome.value
        if isinstance(value, RecordingError):
            return self._failed(work, value, now)
        self._observer.passed(work.tag, ORDER[index])
        work.attempt = 1
        work.waits_for_room = False
        if isinstance(value, StoredObject):
            work.stored = value
        elif isinstance(value, DecodedAudio):
            work.audio = value
        elif isinstance(value, Recognition):
            transcript = self._assemble(work, value, now)
            self._release(work)
            if self._storing is None or self._storing.fits(transcript):
                return self._end(work, transcript)
            work.transcript = transcript
        else:
            return self._end(work, self._stored(work, value))
        work.stage = index + 1
        self._waiting[work.stage].append(work.tag)
        return None

    def _failed(self, work: Work, error: RecordingError, now: float) -> Ended | None:
        first, work.waits_for_room = not work.waits_for_room, isinstance(error, SpoolFull)
        if work.waits_for_room and (verdict := self._room.none_for(work)) != "fail":
            # Not its fault, and no failed try.
            if first:
                self._observer.retrying(work.tag, error, work.attempt, ROOM_WAIT_MS)
            if verdict == "give back":
                self._release(work)
                work.stage = FETCH
            self._try_later(work, now, ROOM_WAIT_MS)
            return None
        if isinstance(error, RetryError):
            delay_ms = self._retry.delay_ms(work.attempt)
            if delay_ms is not None:
                self._observer.retrying(work.tag, error, work.attempt, delay_ms)
                self._try_later(work, now, delay_ms)
                work.attempt += 1
                work.most_attempts = max(work.most_attempts, work.attempt)
                return None
        return self._end(work, _named(error, work.recording))

    def _try_later(self, work: Work, now: float, delay_ms: int) -> None:
        heapq.heappush(self._retries, (now + delay_ms / 1000, next(self._sequence), work.tag))

    def _assemble(self, work: Work, recognition: Recognition, now: float) -> Transcript:
        assert work.stored is not None
        assert work.audio is not None
        timing = Timing(
            queued_ms=work.queued_ms,
            fetch_ms=work.stage_ms["fetch"],
            decode_ms=work.stage_ms["decode"],
            engine_ms=work.stage_ms["engine"],
            total_ms=work.queued_ms + round((now - work.admitted_s) * 1000),
        )
        return assemble(work.recording, work.stored, work.audio, recognition, timing)

    def _stored(self, work: Work, stored: StoredTranscript) -> Transcript:
        assert self._storing is not None
        assert work.transcript is not None
        return self._storing.event(work.transcript, stored, refused=work.refused)

    def _end(self, work: Work, result: Transcript | RecordingError) -> Ended:
        self._forget(work.tag)
        return Ended(
            tag=work.tag,
            recording=work.recording,
            result=result,
            attempts=work.most_attempts,
            stage_ms=work.stage_ms,
        )

    def _forget(self, tag: Hashable) -> None:
        self._release(self._works.pop(tag))

    def _release(self, work: Work) -> None:
        """Give back what a recording has in the spool."""
        if work.stored is not None:
            self._discard(work.stored)
            work.stored = None
        if work.audio is not None:
            self._discard(work.audio)
            work.audio = None

    def _discard(self, value: object) -> None:
        """Remove the spool files of a result that nobody needs any more."""
        if isinstance(value, StoredObject):
            self._spool.remove(value.path)
        elif isinstance(value, DecodedAudio):
            for track in value.tracks:
                self._spool.remove(track.path)


def _named(error: RecordingError, recording: Recording) -> RecordingError:
    """The error with the object's name in its message; stages that see only files cannot know it."""
    if recording.object_id in str(error):
        return error
    named = type(error)(f"{recording.object_id}: {error}")
    named.__cause__ = error
    return named
