"""Records in: the consumer group member. Called by the loop thread only, callbacks included."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.errors import StopError
from consumer.kafka.clients import client_properties, fatal_errors, open_client, stop_error
from consumer.kafka.membership import Membership, membership_of
from consumer.kafka.metadata import Progress, decode
from consumer.kafka.offsets import Commit
from consumer.kafka.records import Headers, Partition, Record
from consumer.settings import KafkaSettings

log = structlog.get_logger(__name__)

STATISTICS_MS = 1000
"""How often the client tells where it stands: how late a probe may learn that the broker is gone, or is back."""

PROGRESS_S = 10.0
"""How long the group's progress may take to be read; the group waits for this member meanwhile."""

COMMIT_S = 120.0
"""When a commit has had no answer for so long, none will come: the client gives up after half of it."""

LEAVE_S = 5.0
"""How long leaving the group may take; with a broker it takes milliseconds."""


class AssignmentListener(Protocol):
    """Told of the group, and of every change of the assignment, while `Source.poll` runs."""

    def assigned(self, partitions: Mapping[Partition, Progress | None]) -> None:
        """These came in addition to those already assigned, with what their earlier owners committed."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """These go to somebody else; their offsets may be committed until this returns."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Somebody else has these already; committing would be wrong."""

    def membership(self, membership: Membership) -> None:
        """Where the client stands with its group; told every second, changed or not."""


class Source:
    """A member of the consumer group.

    Offsets are only ever committed explicitly: neither the client's automatic commit nor its offset store is used.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], listener: AssignmentListener) -> None:
        """Set up the client; nothing is connected before `subscribe`.

        Args:
            settings: of the broker and the group.
            topics: to read.
            listener: told of assignments.
        """
        self._settings = settings
        self._topics = list(topics)
        self._listener = listener
        self._stop: StopError | None = None
        self._paused = False
        self._kept_back: frozenset[Partition] = frozenset()
        self._reassigned = False
        self._leaving = False
        self._confirmed: dict[Partition, Commit] = {}
        self._committing_since = -math.inf
        self._consumer = open_client(
            Consumer,
            {
                "group.id": settings.group_id,
                # A service that is deployed after the first upload must still transcribe it.
                "auto.offset.reset": "earliest",
                "enable.partition.eof": False,
                "allow.auto.create.topics": False,
                # Upload events are small: a deep prefetch would only hold records that another member could work on.
                "queued.max.messages.kbytes": 4096,
                **_membership(settings),
                **client_properties(settings),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "statistics.interval.ms": STATISTICS_MS,
                "stats_cb": self._on_statistics,
                "error_cb": self._on_error,
                "on_commit": self._on_commit,
            },
        )

    def subscribe(self) -> None:
        """Join the group; partitions arrive during later calls of `poll`."""
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, timeout_s: float) -> Record | None:
        """Wait for a record at most so long; also serves the group membership, so it must be called all the time.

        Raises:
            StopError: the client cannot go on.
        """
        with fatal_errors(self._settings, ", ".join(self._topics)):
            message = self._consumer.poll(timeout_s)
        if self._stop is not None:
            raise self._stop
        if self._reassigned:
            # A pause outlives reassignment inside the client, and new partitions arrive unpaused: say it again.
            self._reassigned = False
            self._pause_as_wanted(self._assignment())
        if message is None:
            return None
        error = message.error()
        if error is None:
            return record_of(message)
        if (stop := stop_error(error, self._settings, message.topic())) is not None:
            raise stop
        log.warning("broker trouble", error=error.str(), code=error.name())
        return None

    def pause(self) -> None:
        """Take no more records; polling goes on. What the client had prefetched is read again later."""
        if not self._paused:
            self._paused = True
            self._pause_as_wanted(self._assignment())

    def resume(self) -> None:
        """Take records again, but of partitions that are kept back."""
        if self._paused:
            self._paused = False
            self._pause_as_wanted(self._assignment())

    def keep_back(self, partitions: AbstractSet[Partition]) -> None:
        """Take no more records of these partitions, and again of all others."""
        wanted = frozenset(partitions)
        if wanted != self._kept_back:
            changed, self._kept_back = wanted ^ self._kept_back, wanted
            if not self._paused:
                self._pause_as_wanted(changed & self._assignment())

    def commit(self, commits: Mapping[Partition, Commit], *, wait: bool) -> None:
        """Commit explicit offsets; what the broker confirmed is then in `confirmed`.

        A refused commit (the group is rebalancing, say) is logged, not raised: the records are read again.

        Args:
            commits: by partition.
            wait: block until the broker answered. Else there must not be one that is not answered (`committing`).
        """
        if not commits:
            return
        request = [TopicPartition(*partition, *commit) for partition, commit in commits.items()]
        try:
            if wait:
                self._answered(None, self._consumer.commit(offsets=request, asynchronous=False))
            else:
                self._consumer.commit(offsets=request, asynchronous=True)
                self._committing_since = time.monotonic()
        except KafkaException as exception:
            self._answered(exception.args[0], request)

    @property
    def committing(self) -> bool:
        """Whether a commit is not answered yet.

        The client repeats one whose answer was lost, whatever came after it: of two at once, the older may win.
        """
        return time.monotonic() < self._committing_since + COMMIT_S

    def confirmed(self) -> dict[Partition, Commit]:
        """What the broker has confirmed since the last call."""
        confirmed, self._confirmed = self._confirmed, {}
        return confirmed

    def close(self) -> None:
        """Leave the group. Commit first: the listener is not told of the revocation that this causes.

        Blocks for `LEAVE_S` at most: without a broker the client may wait for an answer much longer.
        """
        self._leaving = True
        leave = threading.Thread(target=self._consumer.close, name="leave-group", daemon=True)
        leave.start()
        leave.join(LEAVE_S)
        if leave.is_alive():
            log.warning("left without the broker's answer; the group notices when the session times out")

    def _assignment(self) -> set[Partition]:
        return set(_pairs(self._consumer.assignment()))

    def _pause_as_wanted(self, partitions: AbstractSet[Partition]) -> None:
        paused = [TopicPartition(*each) for each in partitions if self._paused or each in self._kept_back]
        resumed = [TopicPartition(*each) for each in partitions if not (self._paused or each in self._kept_back)]
        if paused:
            self._consumer.pause(paused)
        if resumed:
            self._consumer.resume(resumed)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        # The client itself calls assign or incremental_assign, as the protocol wants, when a callback does not.
        self._reassigned = True
        self._listener.assigned(self._progress(partitions))

    def _progress(self, partitions: list[TopicPartition]) -> dict[Partition, Progress | None]:
        """What earlier owners committed. Without an answer nothing is known, and more is done again than need be."""
        progress: dict[Partition, Progress | None] = dict.fromkeys(_pairs(partitions))
        try:
            committed = self._consumer.committed(partitions, timeout=PROGRESS_S) if partitions else []
        except KafkaException as exception:
            log.warning(
                "the committed progress cannot be read; what completed beyond the offsets is done again",
                error=exception.args[0].str(),
                group=self._settings.group_id,
            )
            return progress
        for each in committed:
            if each.error is None and each.offset >= 0:
                progress[each.topic, each.partition] = decode(each.metadata, each.offset)
        return progress

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._leaving:
            self._listener.revoked(_pairs(partitions))

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._leaving:
            self._listener.lost(_pairs(partitions))

    def _on_statistics(self, statistics: str) -> None:
        self._listener.membership(membership_of(statistics))

    def _on_error(self, error: KafkaError) -> None:
        """Called for what concerns the client as a whole; raising here would be swallowed, so it is kept for `poll`."""
        # What passes by itself needs no line here: the client logs it, and holds repeats back.
        self._stop = self._stop or stop_error(error, self._settings)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._committing_since = -math.inf
        self._answered(error, partitions)

    def _answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            problem = error or each.error
            if problem is None:
                self._confirmed[each.topic, each.partition] = Commit(each.offset, each.metadata or "")
            else:
                log.warning(
                    "commit refused",
                    topic=each.topic,
                    partition=each.partition,
                    offset=each.offset,
                    error=problem.str(),
                )


def _membership(settings: KafkaSettings) -> dict[str, str]:
    """How partitions are assigned, and who we are in the group."""
    protocol = settings.properties.get("group.protocol", settings.group_protocol)
    membership: dict[str, str] = {"group.protocol": settings.group_protocol}
    if protocol == "classic":
        # With the other protocol the broker decides, and the client refuses the property.
        membership["partition.assignment.strategy"] = "cooperative-sticky"
    if settings.instance_id:
        membership["group.instance.id"] = settings.instance_id
    return membership


def record_of(message: Message) -> Record:
    """A polled message as a value; it must hold a record, not an error."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        key=message.key(),
        value=message.value(),
        headers=_headers(message),
        timestamp_ms=max(0, message.timestamp()[1]),
    )


def _headers(message: Message) -> Headers:
    headers = message.headers()
    # The client's types also allow for mappings and text, which only producers may pass.
    return [(name, value) for name, value in headers if not isinstance(value, str)] if isinstance(headers, list) else []


def _pairs(partitions: list[TopicPartition]) -> list[Partition]:
    return [(each.topic, each.partition) for each in partitions]
