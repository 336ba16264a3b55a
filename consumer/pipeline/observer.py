"""What happens to recordings, told to whoever wants to know: logs, metrics, the demo's table.

Observers are called on the loop thread and must neither block nor raise.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from consumer.errors import RecordingError
from consumer.events.recording import Recording
from consumer.events.transcript import Transcript
from consumer.events.upload import Skipped
from consumer.kafka.membership import Membership
from consumer.kafka.records import Record, Ticket

Fate = Literal["transcript", "retry", "dead letter"]
"""What comes of a recording whose work has ended: the kind of record that tells it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the work on one recording ended, this time.

    Attributes:
        tag: what it was admitted under.
        recording: what was asked for; None when the event itself could not be read.
        result: the transcript, or why there is none.
        attempts: tries of the stage that was tried most often, at least 1.
        stage_ms: time in each stage that worked on it, by stage name.
    """

    tag: Hashable
    recording: Recording | None
    result: Transcript | RecordingError
    attempts: int
    stage_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Load:
    """What is in work.

    Attributes:
        records: recordings admitted and not ended.
        bytes: size of their objects, as far as known.
        audio_ms: length of their decoded audio, as far as known.
    """

    records: int
    bytes: int
    audio_ms: int


class Observer:
    """Does nothing; subclasses override what they care for."""

    def taken(self, ticket: Ticket, record: Record, recording: Recording | None) -> None:
        """A recording of a record was taken up; it may wait for others before it is ``admitted``, or end at once.

        Its recording is None when the record cannot be read.
        """

    def admitted(self, tag: Hashable, recording: Recording) -> None:
        """A recording was taken into work."""

    def entered(self, tag: Hashable, stage: str) -> None:
        """A stage (see `consumer.pipeline.work.ORDER`) began to own it; ``publish``: it was handed to the broker."""

    def passed(self, tag: Hashable, stage: str) -> None:
        """A stage has done its work on it; what fails is told by ``retrying`` or ``ended``."""

    def retrying(self, tag: Hashable, error: RecordingError, attempt: int, delay_ms: int) -> None:
        """Try number ``attempt`` of a stage failed; the next comes after ``delay_ms``."""

    def ended(self, ended: Ended) -> None:
        """The work on it is over."""

    def sent(self, ended: Ended, fate: Fate, topic: str) -> None:
        """What came of it is on its way to a topic."""

    def acknowledged(self, tag: Hashable, fate: Fate) -> None:
        """The broker has what came of it."""

    def skipped(self, skipped: Skipped) -> None:
        """An event needs no work: a deletion, a test event."""

    def passed_over(self, topic: str, partition: int, offset: int) -> None:
        """An earlier owner of the partition completed this record."""

    def blocked(self, reason: str | None) -> None:
        """Nothing is taken in for this reason, until it is told None."""

    def rebalanced(self, change: str, partitions: Sequence[tuple[str, int]]) -> None:
        """Partitions (topic, number) were ``assigned``, ``revoked`` or ``lost``."""

    def committed(self, topic: str, partition: int, offset: int) -> None:
        """The group's offset was committed."""

    def membership(self, membership: Membership) -> None:
        """Where the client stands with its group; told every second, changed or not."""

    def oldest(self, record_ms: int | None) -> None:
        """Record time of the oldest record in work, epoch ms; None: nothing is. Told every second."""

    def stopping(self) -> None:
        """The process finishes what is in work, and takes nothing more."""

    def turned(self, load: Load) -> None:
        """The loop went round once more."""


class Observers(Observer):
    """Tells several observers."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def taken(self, ticket: Ticket, record: Record, recording: Recording | None) -> None:  # noqa: D102
        for each in self._observers:
            each.taken(ticket, record, recording)

    def admitted(self, tag: Hashable, recording: Recording) -> None:  # noqa: D102
        for each in self._observers:
            each.admitted(tag, recording)

    def entered(self, tag: Hashable, stage: str) -> None:  # noqa: D102
        for each in self._observers:
            each.entered(tag, stage)

    def passed(self, tag: Hashable, stage: str) -> None:  # noqa: D102
        for each in self._observers:
            each.passed(tag, stage)

    def retrying(self, tag: Hashable, error: RecordingError, attempt: int, delay_ms: int) -> None:  # noqa: D102
        for each in self._observers:
            each.retrying(tag, error, attempt, delay_ms)

    def ended(self, ended: Ended) -> None:  # noqa: D102
        for each in self._observers:
            each.ended(ended)

    def sent(self, ended: Ended, fate: Fate, topic: str) -> None:  # noqa: D102
        for each in self._observers:
            each.sent(ended, fate, topic)

    def acknowledged(self, tag: Hashable, fate: Fate) -> None:  # noqa: D102
        for each in self._observers:
            each.acknowledged(tag, fate)

    def skipped(self, skipped: Skipped) -> None:  # noqa: D102
        for each in self._observers:
            each.skipped(skipped)

    def passed_over(self, topic: str, partition: int, offset: int) -> None:  # noqa: D102
        for each in self._observers:
            each.passed_over(topic, partition, offset)

    def blocked(self, reason: str | None) -> None:  # noqa: D102
        for each in self._observers:
            each.blocked(reason)

    def rebalanced(self, change: str, partitions: Sequence[tuple[str, int]]) -> None:  # noqa: D102
        for each in self._observers:
            each.rebalanced(change, partitions)

    def committed(self, topic: str, partition: int, offset: int) -> None:  # noqa: D102
        for each in self._observers:
            each.committed(topic, partition, offset)

    def membership(self, membership: Membership) -> None:  # noqa: D102
        for each in self._observers:
            each.membership(membership)

    def oldest(self, record_ms: int | None) -> None:  # noqa: D102
        for each in self._observers:
            each.oldest(record_ms)

    def stopping(self) -> None:  # noqa: D102
        for each in self._observers:
            each.stopping()

    def turned(self, load: Load) -> None:  # noqa: D102
        for each in self._observers:
            each.turned(load)
