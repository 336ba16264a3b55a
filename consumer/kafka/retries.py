"""Retry topics: where a recording waits that could not be transcribed for now, one topic for each delay. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from consumer.kafka.records import Partition, Record
from consumer.setting_types import duration_ms
from consumer.settings import Settings


@dataclass(frozen=True, slots=True)
class RetryTopic:
    """A topic whose records all wait equally long, so that the first of a partition is always the first that is due.

    Attributes:
        name: of the topic.
        delay_ms: how long its records wait.
    """

    name: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class RetryTopics:
    """The retry topics of a service, in the order a recording goes through them.

    Attributes:
        topics: may be none.
    """

    topics: tuple[RetryTopic, ...] = ()

    @property
    def names(self) -> list[str]:
        """Of all of them."""
        return [each.name for each in self.topics]

    def __contains__(self, topic: str) -> bool:
        """Whether a record of this topic has been tried before."""
        return any(each.name == topic for each in self.topics)

    def delay_ms(self, topic: str) -> int:
        """How long records of a topic wait; 0 of any other topic."""
        return next((each.delay_ms for each in self.topics if each.name == topic), 0)

    def after(self, topic: str) -> RetryTopic | None:
        """Where a recording goes that failed again; None when it was the last time.

        Args:
            topic: it was read from, the upload topic or one of these.
        """
        at = next((at + 1 for at, each in enumerate(self.topics) if each.name == topic), 0)
        return self.topics[at] if at < len(self.topics) else None


def retry_topics(settings: Settings) -> RetryTopics:
    """The retry topics of a service: one of the upload topic for each of ``retry.delays``."""
    uploads = settings.topics.uploads
    return RetryTopics(
        tuple(RetryTopic(f"{uploads}.retry.{each}", duration_ms(each)) for each in settings.retry.delays)
    )


def all_topics(settings: Settings) -> list[str]:
    """Every topic that a service reads or writes."""
    topics = settings.topics
    return [topics.uploads, topics.transcripts, topics.dead_letters, *retry_topics(settings).names]


@dataclass(slots=True)
class Waiting:
    """Records that were read before they are due, at most one of a partition: nothing behind it is due sooner."""

    _records: dict[Partition, tuple[int, Record]] = field(default_factory=dict)

    @property
    def partitions(self) -> set[Partition]:
        """Those that have one; nothing should be read from them."""
        return set(self._records)

    def put(self, record: Record, due_ms: int) -> None:
        """Keep a record until a time, epoch milliseconds."""
        self._records[record.topic_partition] = (due_ms, record)

    def take(self, now_ms: int) -> list[Record]:
        """The records that are due."""
        due = [record for due_ms, record in self._records.values() if due_ms <= now_ms]
        for record in due:
            del self._records[record.topic_partition]
        return due

    def drop(self, partitions: Sequence[Partition]) -> None:
        """Forget those of partitions that are not ours any more."""
        for partition in partitions:
            self._records.pop(partition, None)
