"""The loop of ``tingxie run``: one thread that owns consumer, producer, offsets, lanes and all state about records.

A record's way: poll → parse → lane → flow (fetch, decode, engine, store) → outbox → produce → delivery report → offset
complete → commit. It goes one way. Whatever ends the process, a record that is not complete is not committed, and is
read again by whoever owns its partition next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from consumer.errors import BrokerFatal, BrokerUnavailable, RecordingError, StopError, TranscriptTooLarge
from consumer.events.parse import parse
from consumer.events.recording import Recording
from consumer.events.stored import without_documents
from consumer.events.upload import UploadEvent
from consumer.kafka.access import check_access
from consumer.kafka.admin import missing_topics
from consumer.kafka.lanes import Lanes
from consumer.kafka.offsets import OffsetTracker
from consumer.kafka.records import Partition, Record, Ticket
from consumer.kafka.sink import Sink
from consumer.kafka.source import Source
from consumer.pipeline.budgets import Door, Intake
from consumer.pipeline.flow import Flow
from consumer.pipeline.observer import Ended, Observer
from consumer.pipeline.outbox import Outbox, Parcel
from consumer.pipeline.outgoing import Outgoing, refused
from consumer.settings import Settings
from consumer.storage.objects import check_allowed

log = structlog.get_logger(__name__)

IDLE_POLL_S = 0.02
"""How long a turn waits for a record when nothing else is to be done: the most a stage's outcome waits for the loop."""

HELD_S = 0.002
"""How long a turn that may not poll waits for the stages."""

SETTLE_S = 5.0
"""How long the last commit may take. Without an answer, what it covers is transcribed again, under the same ids."""

TURN_RECORDS = 100
"""Records taken in one turn at most, so that outcomes are not kept waiting while a backlog is read."""


@dataclass(slots=True)
class _Task:
    """One recording between poll and acknowledgement."""

    ticket: Ticket
    record: Record
    recording: Recording | None
    several: bool
    ended: Ended | None = None


class Service:
    """A member of the consumer group. `run` belongs to one thread; `stop` may be called from any."""

    def __init__(
        self, *, settings: Settings, flow: Flow, sink: Sink, intake: Intake, outgoing: Outgoing, observer: Observer
    ) -> None:
        self._settings = settings
        self._flow = flow
        self._source = Source(settings.kafka, settings.topics.uploads, self)
        self._intake = intake
        self._outgoing = outgoing
        self._observer = observer
        self._tracker = OffsetTracker()
        self._lanes: Lanes[Ticket] = Lanes()
        self._tasks: dict[Ticket, _Task] = {}
        self._outbox = Outbox(sink, observer)
        self._next_commit = 0.0
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let `run` finish what it can within ``limits.drain_seconds``, commit, and return."""
        self._stop.set()

    def run(self) -> None:
        """Load the model, join the group, and work until stopped.

        Raises:
            StopError: something without which no record can be worked on is gone; uncommitted work is intact.
        """
        try:
            self._check_topics()
            self._flow.start()
            self._source.subscribe()
            while not self._stop.is_set():
                self._turn(accept=True)
            self._drain()
        except BrokerFatal:
            raise  # the client is dead: it can neither commit nor leave the group
        except StopError:
            self._settle()
            raise
        finally:
            self._source.close()

    def _check_topics(self) -> None:
        """Fail before the model is loaded, not when the first transcript or dead letter has nowhere to go."""
        kafka, topics = self._settings.kafka, self._settings.topics
        missing = missing_topics(kafka, (topics.uploads, topics.transcripts, topics.dead_letters))
        # First: a topic that we may not even see looks missing.
        check_access(kafka, reads=(topics.uploads,), writes=(topics.transcripts, topics.dead_letters))
        if missing:
            raise BrokerUnavailable(
                f"broker {kafka.bootstrap_servers} has no topic {', '.join(missing)}; "
                "create them, for instance with `tingxie check --create-topics`"
            )

    # --- one turn ---------------------------------------------------------------------------------------------------

    def _turn(self, *, accept: bool) -> None:
        now = time.monotonic()
        ended = self._flow.step(now)
        for each in ended:
            self._finish(each)
        self._outbox.send()
        self._take_reports()
        if now >= self._next_commit:
            self._commit()
            self._next_commit = now + self._settings.kafka.commit_interval_ms / 1000
        load = replace(self._flow.load, records=len(self._tasks))
        self._observer.turned(load)
        door = self._intake.update(load, now, blocked=bool(self._outbox)) if accept else Door.SHUT
        if door is Door.HELD:
            self._stop.wait(HELD_S)
            return
        if door is Door.OPEN:
            self._source.resume()
        else:
            self._source.pause()
        self._read(0.0 if ended else IDLE_POLL_S)

    def _read(self, timeout_s: float) -> None:
        for _ in range(TURN_RECORDS):
            record = self._source.poll(timeout_s)
            if record is None or self._stop.is_set():
                # A record that came after the stop is simply not taken: its offset stays uncommitted.
                return
            self._accept(record)
            timeout_s = 0.0
            if len(self._tasks) >= self._settings.limits.in_flight_records:
                return

    def _accept(self, record: Record) -> None:
        """Take a record into work."""
        partition, storage = (record.topic, record.partition), self._settings.storage
        try:
            event = parse(record.value, record.headers)
        except RecordingError as error:
            (ticket,) = self._tracker.polled(partition, record.offset, 1)
            self._tasks[ticket] = _Task(ticket, record, None, several=False)
            self._refuse(ticket, None, error)
            return
        event = without_documents(event, storage.transcript_bucket, storage.transcript_prefix)
        self._begin(record, event, self._tracker.polled(partition, record.offset, len(event.recordings)))

    def _begin(self, record: Record, event: UploadEvent, tickets: list[Ticket]) -> None:
        for skipped in event.skipped:
            self._observer.skipped(skipped)
        for ticket, recording in zip(tickets, event.recordings, strict=True):
            self._tasks[ticket] = _Task(ticket, record, recording, several=len(tickets) > 1)
            try:
                check_allowed(recording, self._settings.storage.allowed_buckets)
            except RecordingError as error:
                self._refuse(ticket, recording, error)
                continue
            if self._lanes.enter(recording.object_id, ticket):
                self._admit(ticket)

    def _admit(self, ticket: Ticket) -> None:
        task = self._tasks[ticket]
        assert task.recording is not None
        waited_ms = round(time.time() * 1000) - task.record.timestamp_ms if task.record.timestamp_ms else 0
        self._flow.admit(ticket, task.recording, now=time.monotonic(), queued_ms=max(0, waited_ms))

    def _refuse(self, ticket: Ticket, recording: Recording | None, error: RecordingError) -> None:
        """End a recording that never reaches the flow."""
        ended = Ended(tag=ticket, recording=recording, result=error, attempts=1, stage_ms={})
        self._observer.ended(ended)
        self._finish(ended)

    # --- the way out ------------------------------------------------------------------------------------------------

    def _finish(self, ended: Ended) -> None:
        """Put the transcript or dead letter into the outbox and let the next event of the object begin."""
        ticket = ended.tag
        assert isinstance(ticket, Ticket)
        task = self._tasks[ticket]
        self._publish(task, ended)
        if task.recording is not None:
            following = self._lanes.leave(task.recording.object_id, ticket)
            if following is not None:
                self._admit(following)

    def _take_reports(self) -> None:
        for parcel, error in self._outbox.reports():
            task = self._tasks.get(parcel.ticket)
            if task is None:
                continue  # its partition was revoked; whoever has it now transcribes it again, under the same id
            if error is None:
                del self._tasks[parcel.ticket]
                self._tracker.complete(parcel.ticket)
                self._observer.acknowledged(parcel.ticket, dead_letter=parcel.is_dead_letter)
            elif isinstance(error, TranscriptTooLarge) and not parcel.is_dead_letter:
                self._refused(task, error)
            else:
                raise error if isinstance(error, StopError) else StopError(str(error))

    def _refused(self, task: _Task, error: TranscriptTooLarge) -> None:
        """Store a transcript that the topic does not take, or end it as a dead letter."""
        assert task.ended is not None
        if self._flow.store(task.ended, now=time.monotonic()):
            return
        ended = refused(task.ended, error)
        self._observer.ended(ended)
        self._publish(task, ended)

    def _publish(self, task: _Task, ended: Ended) -> None:
        task.ended = ended
        outgoing = self._outgoing.record(task.record, ended, several=task.several)
        self._outbox.put(Parcel(task.ticket, isinstance(ended.result, RecordingError)), outgoing)

    # --- offsets ----------------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        self._note_commits()
        self._source.commit(self._tracker.committable(), wait=False)

    def _note_commits(self) -> None:
        confirmed = self._source.confirmed()
        self._tracker.committed(confirmed)
        for (topic, partition), offset in confirmed.items():
            self._observer.committed(topic, partition, offset)

    def _settle(self) -> None:
        """Commit what is complete, as the last thing before the end."""
        try:
            self._take_reports()
            self._commit()
            # A commit that blocks would wait for a broker that is away until the session is over.
            deadline = time.monotonic() + SETTLE_S
            while self._tracker.committable() and time.monotonic() < deadline:
                self._source.poll(IDLE_POLL_S)  # a record that comes is not taken, so its offset is not committed
                self._note_commits()
        except StopError as error:
            log.warning("the last commit failed", error=str(error))
        if uncommitted := self._tracker.committable():
            log.warning("completed records are uncommitted and will be transcribed again", partitions=len(uncommitted))

    def _drain(self) -> None:
        """Finish what is in work, as far as the time allows, and commit."""
        deadline = time.monotonic() + self._settings.limits.drain_seconds
        log.info("stopping", in_work=len(self._tasks), drain_seconds=self._settings.limits.drain_seconds)
        while self._tasks and time.monotonic() < deadline:
            self._turn(accept=False)
        self._settle()
        if self._tasks:
            log.warning(
                "stopped with work unfinished; it is uncommitted and will be read again", in_work=len(self._tasks)
            )

    # --- assignment: called by the source while it polls --------------------------------------------------------------

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Begin a generation for each."""
        for partition in partitions:
            self._tracker.assign(partition)
        self._observer.rebalanced("assigned", partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit what is complete, then forget the rest: the next owner reads it again."""
        self._take_reports()
        committable = self._tracker.committable()
        self._source.commit({each: committable[each] for each in partitions if each in committable}, wait=True)
        self._note_commits()
        self._forget(partitions)
        self._observer.rebalanced("revoked", partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget them without a commit: somebody else owns them already."""
        self._forget(partitions)
        self._observer.rebalanced("lost", partitions)

    def _forget(self, partitions: Sequence[Partition]) -> None:
        gone = set(partitions)
        for partition in partitions:
            self._tracker.revoke(partition)
        tasks = [task for ticket, task in self._tasks.items() if (ticket.topic, ticket.partition) in gone]
        for task in tasks:
            del self._tasks[task.ticket]
        self._outbox.keep(self._tasks)
        self._flow.drop([task.ticket for task in tasks])
        lanes = [(task.recording.object_id, task.ticket) for task in tasks if task.recording is not None]
        for following in self._lanes.drop(lanes):
            self._admit(following)
