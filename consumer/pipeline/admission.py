"""From poll to flow: which records are taken into work, and when. Belongs to the loop's thread.

A record is passed over when an earlier owner of its partition completed it, kept back while it is not due, refused when
it cannot be read or may not be, and else given to the flow: behind other events of its object, and alone when processes
died with it in work.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from consumer.errors import PoisonRecord, RecordingError
from consumer.events.parse import parse
from consumer.events.recording import Recording
from consumer.events.retry import due_ms
from consumer.events.stored import without_documents
from consumer.events.upload import UploadEvent
from consumer.kafka.lanes import Lanes
from consumer.kafka.offsets import OffsetTracker
from consumer.kafka.records import Partition, Record, Ticket
from consumer.kafka.retries import Waiting
from consumer.pipeline.breaker import Breaker
from consumer.pipeline.flow import Flow
from consumer.pipeline.observer import Ended, Observer
from consumer.pipeline.outgoing import Outgoing
from consumer.settings import Settings
from consumer.storage.objects import check_allowed


@dataclass(slots=True)
class Task:
    """One recording between poll and acknowledgement.

    Attributes:
        ticket: names it.
        record: it came in.
        recording: None when the record could not be read.
        several: whether the record holds more recordings than this one.
        ended: how the work on it ended, once it has.
    """

    ticket: Ticket
    record: Record
    recording: Recording | None
    several: bool
    ended: Ended | None = None


class Admission:
    """Owns the tasks, and what waits before the flow."""

    def __init__(
        self,
        *,
        settings: Settings,
        tracker: OffsetTracker,
        flow: Flow,
        outgoing: Outgoing,
        breaker: Breaker,
        observer: Observer,
        refuse: Callable[[Ended], None],
    ) -> None:
        """Nothing is taken yet.

        Args:
            settings: all of them.
            tracker: of offsets.
            flow: where recordings go.
            outgoing: knows what happened to a record before.
            breaker: told what begins.
            observer: told what happens.
            refuse: takes the end of a recording that never reaches the flow.
        """
        self.tasks: dict[Ticket, Task] = {}
        self._settings = settings
        self._tracker = tracker
        self._flow = flow
        self._outgoing = outgoing
        self._breaker = breaker
        self._observer = observer
        self._refuse = refuse
        self._lanes: Lanes[Ticket] = Lanes()
        self._waiting = Waiting()
        self._suspects: deque[Ticket] = deque()
        self._alone: Ticket | None = None
        self._overfull: set[Partition] = set()

    @property
    def kept_back(self) -> set[Partition]:
        """Partitions of which nothing more should be read for now."""
        self._overfull = {each for each in self._overfull if self._tracker.full(each)}
        return self._waiting.partitions | self._overfull

    @property
    def closed(self) -> bool:
        """Whether a suspected record has the process for itself, or is about to."""
        return bool(self._suspects) or self._alone in self.tasks

    def accept(self, record: Record) -> None:
        """Take a polled record up, now or once it is due."""
        partition = record.topic_partition
        if self._tracker.completed_before(partition, record.offset):
            self._observer.passed_over(record.topic, record.partition, record.offset)
            return
        now_ms = round(time.time() * 1000)
        # Nothing waits longer than its topic says, whatever a clock or a header says.
        due = min(due_ms(record.headers), now_ms + self._outgoing.retries.delay_ms(record.topic))
        if due > now_ms:
            self._waiting.put(record, due)
            return
        self._take(record)

    def accept_due(self) -> None:
        """Take up what has waited long enough."""
        for record in self._waiting.take(round(time.time() * 1000)):
            self._take(record)

    def admit_suspects(self) -> None:
        """Give the process to the next suspected record, once the broker knows that nothing else is in work."""
        if not self._suspects or self._tracker.records_in_work:
            return
        if self._tracker.commits():
            self._tracker.urgent = True
            return
        self._alone = self._suspects.popleft()
        self._admit(self._alone)

    def leave(self, task: Task) -> None:
        """The work on a recording is over: the next event of its object may begin."""
        if task.recording is not None:
            following = self._lanes.leave(self._lane(task), task.ticket)
            if following is not None:
                self._begin(following)

    def drop(self, partitions: Sequence[Partition], *, begun: bool) -> None:
        """Forget the recordings of partitions that go to somebody else.

        Args:
            partitions: they are of.
            begun: whether also those that a stage has worked on.
        """
        gone = set(partitions)
        self._waiting.drop(partitions)
        tasks = [
            task
            for ticket, task in self.tasks.items()
            if ticket.topic_partition in gone and (begun or not (task.ended or self._flow.begun(ticket)))
        ]
        for task in tasks:
            del self.tasks[task.ticket]
            self._breaker.dropped(task.ticket)
        self._suspects = deque(each for each in self._suspects if each in self.tasks)
        self._flow.drop([task.ticket for task in tasks])
        lanes = [(self._lane(task), task.ticket) for task in tasks if task.recording is not None]
        for following in self._lanes.drop(lanes):
            self._begin(following)

    # --- one record -------------------------------------------------------------------------------------------------

    def _take(self, record: Record) -> None:
        partition, storage = record.topic_partition, self._settings.storage
        try:
            event = parse(record.value, record.headers)
        except RecordingError as error:
            (ticket,) = self._tracker.polled(partition, record.offset, 1)
            self._keep(Task(ticket, record, None, several=False))
            self._end(ticket, error)
        else:
            event = without_documents(event, storage.transcript_bucket, storage.transcript_prefix)
            self._take_event(record, event, self._tracker.polled(partition, record.offset, len(event.recordings)))
        if self._tracker.full(partition):
            self._overfull.add(partition)

    def _take_event(self, record: Record, event: UploadEvent, tickets: list[Ticket]) -> None:
        for skipped in event.skipped:
            self._observer.skipped(skipped)
        for ticket, recording in zip(tickets, event.recordings, strict=True):
            task = Task(ticket, record, recording, several=len(tickets) > 1)
            self._keep(task)
            try:
                check_allowed(recording, self._settings.storage.allowed_buckets)
                self._check_deaths(ticket, recording)
            except RecordingError as error:
                self._end(ticket, error)
                continue
            if self._lanes.enter(self._lane(task), ticket):
                self._begin(ticket)

    def _keep(self, task: Task) -> None:
        self.tasks[task.ticket] = task
        self._breaker.begun(task.ticket)
        self._observer.taken(task.ticket, task.record, task.recording)

    def _check_deaths(self, ticket: Ticket, recording: Recording) -> None:
        deaths, most = self._tracker.deaths(ticket), self._settings.retry.poison_deaths
        if deaths >= most:
            raise PoisonRecord(
                f"{recording.object_id}: {deaths} processes in a row ended while they worked on this record "
                f"(retry.poison_deaths is {most}); look into their logs before it is sent again"
            )

    def _begin(self, ticket: Ticket) -> None:
        if self._tracker.deaths(ticket) == self._settings.retry.poison_deaths - 1:
            self._suspects.append(ticket)  # whoever dies next shall not take the blame for others
        else:
            self._admit(ticket)

    def _admit(self, ticket: Ticket) -> None:
        task = self.tasks[ticket]
        assert task.recording is not None
        waited_ms = round(time.time() * 1000) - self._outgoing.story(task.record).first_seen_ms
        self._tracker.begin(ticket)
        self._flow.admit(ticket, task.recording, now=time.monotonic(), queued_ms=max(0, waited_ms))

    def _end(self, ticket: Ticket, error: RecordingError) -> None:
        ended = Ended(tag=ticket, recording=self.tasks[ticket].recording, result=error, attempts=1, stage_ms={})
        self._observer.ended(ended)
        self._refuse(ended)

    def _lane(self, task: Task) -> Hashable:
        """Tasks of one lane wait for each other."""
        if task.recording is None or self._settings.kafka.ordering == "none":
            return task.ticket
        return task.recording.object_id
