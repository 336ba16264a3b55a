"""Records as they were polled, and the tickets that work on them carries. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

Headers = list[tuple[str, bytes | None]]
Partition = tuple[str, int]
"""Topic and partition number."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the upload topic, bytes untouched.

    Attributes:
        topic: it was read from.
        partition: of that topic.
        offset: in that partition.
        key: original bytes, or None.
        value: original bytes, or None for a tombstone.
        headers: original, in order.
        timestamp_ms: epoch milliseconds the broker knows it by; 0 when it has none.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def topic_partition(self) -> Partition:
        """Where it lies."""
        return self.topic, self.partition

    @property
    def place(self) -> str:
        """Where it lies, as people are told."""
        return f"{self.topic}[{self.partition}] {self.offset}"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Names one recording of one record under one assignment of its partition.

    Attributes:
        topic: of the record.
        partition: of the record.
        offset: of the record.
        generation: the assignment under which it was polled; work of an older one is void.
        index: which of the event's recordings.
    """

    topic: str
    partition: int
    offset: int
    generation: int
    index: int

    @property
    def topic_partition(self) -> Partition:
        """Where its record lies."""
        return self.topic, self.partition


def tags_of(partitions: Iterable[Partition], tags: Iterable[Hashable]) -> list[Hashable]:
    """Those of some tags that are tickets of records in some partitions."""
    wanted = set(partitions)
    return [tag for tag in tags if isinstance(tag, Ticket) and tag.topic_partition in wanted]
