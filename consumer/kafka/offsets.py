"""Which offsets may be committed, while records complete out of order. Pure: no I/O, no clock.

Rules:

1. An offset completes when every recording under it has completed; a record without recordings completes at once.
2. The committable offset of a partition is the lowest polled one that is incomplete; when none is, the one after the
   highest polled. Gaps between polled offsets (compaction, transaction markers) are never waited for.
3. Each assignment of a partition has a generation. A ticket of another generation changes nothing: its work was
   dropped when the partition was revoked, and whoever owns the partition now does it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consumer.kafka.records import Partition, Ticket


@dataclass(slots=True)
class _Assignment:
    generation: int
    next_offset: int | None = None  # one past the highest polled
    committed: int | None = None
    # Offsets are polled in rising order and dicts keep insertion order: the first key is the lowest incomplete.
    incomplete: dict[int, set[int]] = field(default_factory=dict)

    def committable(self) -> int | None:
        return next(iter(self.incomplete), self.next_offset)


class OffsetTracker:
    """Progress of all assigned partitions."""

    def __init__(self) -> None:
        self._assignments: dict[Partition, _Assignment] = {}
        self._generation = 0

    def assign(self, partition: Partition) -> int:
        """Begin a new generation of a partition and return it; whatever was known of the partition is forgotten."""
        self._generation += 1
        self._assignments[partition] = _Assignment(self._generation)
        return self._generation

    def revoke(self, partition: Partition) -> None:
        """Forget a partition; tickets of it are void from now on."""
        self._assignments.pop(partition, None)

    def polled(self, partition: Partition, offset: int, recordings: int) -> list[Ticket]:
        """Note a polled record and return a ticket for each of its recordings.

        Raises:
            ValueError: the partition is not assigned, or the offset is not above all polled before; a caller that
                sees this has mixed up assignments.
        """
        assignment = self._assignments.get(partition)
        if assignment is None:
            raise ValueError(f"partition {partition} is not assigned")
        if assignment.next_offset is not None and offset < assignment.next_offset:
            raise ValueError(f"offset {offset} of {partition} was polled after {assignment.next_offset - 1}")
        assignment.next_offset = offset + 1
        if recordings:
            assignment.incomplete[offset] = set(range(recordings))
        return [Ticket(*partition, offset, assignment.generation, index) for index in range(recordings)]

    def is_current(self, ticket: Ticket) -> bool:
        """Whether the ticket's recording is still ours and incomplete."""
        assignment = self._assignments.get((ticket.topic, ticket.partition))
        return (
            assignment is not None
            and assignment.generation == ticket.generation
            and ticket.index in assignment.incomplete.get(ticket.offset, ())
        )

    def complete(self, ticket: Ticket) -> bool:
        """Mark one recording as ended; returns whether that completed its record. A void ticket changes nothing."""
        if not self.is_current(ticket):
            return False
        incomplete = self._assignments[ticket.topic, ticket.partition].incomplete
        incomplete[ticket.offset].remove(ticket.index)
        if incomplete[ticket.offset]:
            return False
        del incomplete[ticket.offset]
        return True

    def committable(self) -> dict[Partition, int]:
        """Offsets that have moved since they were last noted as committed."""
        return {
            partition: offset
            for partition, assignment in self._assignments.items()
            if (offset := assignment.committable()) is not None and offset != assignment.committed
        }

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note what the broker has confirmed; partitions that are not assigned any more are ignored."""
        for partition, offset in offsets.items():
            if (assignment := self._assignments.get(partition)) is not None:
                assignment.committed = offset

    def incomplete_records(self) -> int:
        """Records polled and not complete, over all partitions."""
        return sum(len(assignment.incomplete) for assignment in self._assignments.values())
