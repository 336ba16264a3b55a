"""The loop of ``tingxie run``: one thread that owns consumer, producer, offsets, lanes and all state about records.

A record's way: poll → parse → lane → flow (fetch, decode, engine, store) → outbox → produce → delivery report → offset
complete → commit. It goes one way. Whatever ends the process, a record that is not complete is not committed, and is
read again by whoever owns its partition next.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from consumer.errors import (
    BrokerUnavailable,
    StageDied,
    StopError,
    TranscriptTooLarge,
)
from consumer.kafka.access import check_access
from consumer.kafka.admin import missing_topics
from consumer.kafka.membership import Membership
from consumer.kafka.metadata import Progress
from consumer.kafka.offsets import OffsetTracker
from consumer.kafka.records import Partition, Ticket
from consumer.kafka.retries import all_topics
from consumer.kafka.sink import Sink
from consumer.kafka.source import Source
from consumer.pipeline.admission import Admission, Task
from consumer.pipeline.breaker import Breaker
from consumer.pipeline.budgets import Door, Intake
from consumer.pipeline.committer import Committer
from consumer.pipeline.flow import Flow
from consumer.pipeline.observer import Ended, Load, Observer
from consumer.pipeline.outbox import Outbox, Parcel
from consumer.pipeline.outgoing import Outgoing, refused
from consumer.pipeline.reload import ModelReload
from consumer.pipeline.traces import Traces
from consumer.settings import Settings

log = structlog.get_logger(__name__)

IDLE_POLL_S = 0.02
"""How long a turn waits for a record when nothing else is to be done: the most a stage's outcome waits for the loop."""

HELD_S = 0.002
"""How long a turn that may not poll waits for the stages."""

SETTLE_S = 5.0
"""What the last commit may take at least. Without it, what it covers is transcribed again, under the same ids."""

TURN_RECORDS = 100
"""Records taken in one turn at most, so that outcomes are not kept waiting while a backlog is read."""


class Service:
    """A member of the consumer group. `run` belongs to one thread; `stop` and `resume` may be called from any."""

    def __init__(
        self,
        *,
        settings: Settings,
        flow: Flow,
        models: ModelReload,
        sink: Sink,
        intake: Intake,
        breaker: Breaker,
        outgoing: Outgoing,
        observer: Observer,
        traces: Traces,
    ) -> None:
        self._settings = settings
        self.models = models
        """Replaces the models when asked, while `run` goes on."""
        self._flow = flow
        self._source = Source(settings.kafka, [settings.topics.uploads, *outgoing.retries.names], self)
        self._intake = intake
        self._breaker = breaker
        self._outgoing = outgoing
        self._observer = observer
        self._traces = traces
        self._tracker = OffsetTracker()
        self._committer = Committer(
            self._source, self._tracker, observer, interval_s=settings.kafka.commit_interval_ms / 1000
        )
        self._admission = Admission(
            settings=settings,
            tracker=self._tracker,
            flow=flow,
            outgoing=outgoing,
            breaker=breaker,
            observer=observer,
            refuse=self._finish,
        )
        self._tasks = self._admission.tasks
        self._outbox = Outbox(sink, observer)
        self._blocked_by: str | None = None
        # Plain values, as signals set them in the thread that reads them: a lock that it holds would never be free.
        self._stopping = False
        self._resuming = False

    def stop(self) -> None:
        """Let `run` finish what it can within ``limits.drain_seconds``, commit, and return."""
        self._stopping = True

    def resume(self) -> None:
        """Take recordings in again although many ended as dead letters: a person has seen to the cause."""
        self._resuming = True

    def run(self) -> None:
        """Load the model, join the group, and work until stopped.

        Raises:
            StopError: something without which no record can be worked on is gone; uncommitted work is intact.
        """
        try:
            self._check_topics()
            self._flow.start()
            self._source.subscribe()
            while not self._stopping:
                self._turn(accept=True)
            self._drain()
        except StopError as error:
            # A stage that died may have died of a record that it worked on.
            self._settle(SETTLE_S, leaving=not isinstance(error, StageDied))
            raise
        finally:
            self._source.close()

    def _check_topics(self) -> None:
        """Fail before the model is loaded, not when the first transcript or dead letter has nowhere to go."""
        kafka, topics, retries = self._settings.kafka, self._settings.topics, self._outgoing.retries.names
        missing = missing_topics(kafka, all_topics(self._settings))
        # First: a topic that we may not even see looks missing.
        check_access(
            kafka,
            reads=(topics.uploads, *retries),
            writes=(topics.transcripts, topics.dead_letters, *retries),
        )
        if missing:
            raise BrokerUnavailable(
                f"broker {kafka.bootstrap_servers} has no topic {', '.join(missing)}; "
                "create them, for instance with `tingxie check --create-topics`"
            )

    # --- one turn ---------------------------------------------------------------------------------------------------

    def _turn(self, *, accept: bool) -> None:
        now = time.monotonic()
        worked = self._work(now)
        self._committer.commit_if_due(now)
        load = self._tell_load()
        door = self._intake.update(load, now, blocked=self._blocked(now)) if accept else Door.SHUT
        if door is Door.HELD:
            time.sleep(HELD_S)
            return
        if door is Door.OPEN:
            self._admission.accept_due()
            self._source.keep_back(self._admission.kept_back)
            self._source.resume()
        else:
            self._source.pause()
        self._read(0.0 if worked else IDLE_POLL_S)

    def _tell_load(self) -> Load:
        """Tell that the loop goes on, and with how much."""
        load = replace(self._flow.load, records=len(self._tasks))
        self._observer.turned(load)
        return load

    def _work(self, now: float) -> bool:
        """Move everything on but the intake; whether anything ended."""
        ended = self._flow.step(now)
        for each in ended:
            self._finish(each)
        self._admission.admit_suspects()
        self._outbox.send()
        self._take_reports()
        return bool(ended)

    def _blocked(self, now: float) -> bool:
        """Whether nothing may be taken in, budgets aside."""
        if self._resuming:
            self._resuming = False
            self._breaker.close()
        crowded = self._flow.crowded
        reason = self._breaker.reason or self._intake.crowded_for_long(now, crowded=crowded)
        if reason != self._blocked_by:
            self._blocked_by = reason
            self._observer.blocked(reason)
        return bool(self._outbox) or self._admission.closed or crowded or self._breaker.room(now) == 0

    def _read(self, timeout_s: float) -> None:
        for _ in range(TURN_RECORDS):
            record = self._source.poll(timeout_s)
            if record is None or self._stopping:
                # A record that came after the stop is simply not taken: its offset stays uncommitted.
                return
            self._admission.accept(record)
            self._source.keep_back(self._admission.kept_back)
            timeout_s = 0.0
            if len(self._tasks) >= self._settings.limits.in_flight_records or self._breaker.room(time.monotonic()) == 0:
                return

    # --- the way out ------------------------------------------------------------------------------------------------

    def _finish(self, ended: Ended) -> None:
        """Put what came of a recording into the outbox and let the next event of the object begin."""
        ticket = ended.tag
        assert isinstance(ticket, Ticket)
        task = self._tasks[ticket]
        self._publish(task, ended)
        self._admission.leave(task)

    def _take_reports(self) -> None:
        failure: StopError | None = None
        for parcel, error in self._outbox.reports():
            task = self._tasks.get(parcel.ticket)
            if task is None:
                continue  # its partition was revoked; whoever has it now transcribes it again, under the same id
            if error is None:
                del self._tasks[parcel.ticket]
                self._tracker.complete(parcel.ticket)
                self._breaker.ended(parcel.ticket, time.monotonic(), parcel.fate)
                self._observer.acknowledged(parcel.ticket, parcel.fate)
            elif isinstance(error, TranscriptTooLarge) and parcel.fate == "transcript":
                self._refused(task, error)
            else:  # what was delivered beside it still counts
                failure = error if isinstance(error, StopError) else StopError(str(error))
        if failure is not None:
            raise failure

    def _refused(self, task: Task, error: TranscriptTooLarge) -> None:
        """Store a transcript that the topic does not take, or end it as a dead letter."""
        assert task.ended is not None
        if self._flow.store(task.ended, now=time.monotonic()):
            return
        ended = refused(task.ended, error)
        self._observer.ended(ended)
        self._publish(task, ended)

    def _publish(self, task: Task, ended: Ended) -> None:
        task.ended = ended
        fate, outgoing = self._outgoing.record(task.record, ended, several=task.several)
        self._observer.sent(ended, fate, outgoing.topic)
        self._outbox.put(Parcel(task.ticket, fate), self._traces.stamped(task.ticket, fate, outgoing))

    def _settle(self, timeout_s: float, *, leaving: bool) -> None:
        """Commit what is complete, as the last thing before the end."""
        try:
            self._take_reports()
            self._committer.settle(timeout_s, leaving=leaving, turned=self._tell_load)
        except StopError as error:
            log.warning("the last commit failed", error=str(error))
        if uncommitted := self._tracker.commits(leaving=leaving):
            log.warning("completed records are uncommitted and will be transcribed again", partitions=len(uncommitted))

    def _drain(self) -> None:
        """Finish what is in work, as far as the time allows, and commit."""
        self._observer.stopping()
        deadline = time.monotonic() + self._settings.limits.drain_seconds
        log.info("stopping", in_work=len(self._tasks), drain_seconds=self._settings.limits.drain_seconds)
        while self._tasks and time.monotonic() < deadline:
            self._turn(accept=False)
        # What is left of the time is the commit's: other members may keep the group from coming together for long.
        self._settle(max(SETTLE_S, deadline - time.monotonic()), leaving=True)
        if self._tasks:
            log.warning(
                "stopped with work unfinished; it is uncommitted and will be read again", in_work=len(self._tasks)
            )

    # --- assignment: called by the source while it polls --------------------------------------------------------------

    def assigned(self, partitions: Mapping[Partition, Progress | None]) -> None:
        """Begin a generation for each, with what is known of it."""
        for partition, progress in partitions.items():
            self._tracker.assign(partition, progress)
        self._observer.rebalanced("assigned", list(partitions))

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish what is begun, as far as the time allows, commit, and forget the rest: the next owner reads it."""
        self._admission.drop(partitions, begun=False)
        gone = set(partitions)
        deadline = time.monotonic() + self._settings.limits.revoke_seconds
        try:
            while time.monotonic() < deadline and any(each.topic_partition in gone for each in self._tasks):
                self._work(time.monotonic())
                self._flow.wait(IDLE_POLL_S)
            self._take_reports()
            self._committer.commit_revoked(partitions)
        finally:  # whatever happens, they are not ours when this returns
            self._forget(partitions)
        self._observer.rebalanced("revoked", partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget them without a commit: somebody else owns them already."""
        self._forget(partitions)
        self._observer.rebalanced("lost", partitions)

    def membership(self, membership: Membership) -> None:
        """Pass it on, with what else is worth knowing every second."""
        self._observer.membership(membership)
        self._observer.oldest(min((task.record.timestamp_ms for task in self._tasks.values()), default=None))

    def _forget(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._tracker.revoke(partition)
        self._admission.drop(partitions, begun=True)
        self._outbox.keep(self._tasks)
