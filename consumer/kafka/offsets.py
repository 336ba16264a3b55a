"""Which offsets may be committed, while records complete out of order, and what is known beyond them. Pure.

Rules:

1. An offset completes when every recording under it has completed; a record without recordings completes at once.
2. The committed offset of a partition is the lowest incomplete one that may still come; when there is none, the one
   after the highest known. Gaps between polled offsets (compaction, transaction markers) are never waited for.
3. What completed beyond it travels in the commit's metadata, and is believed by the partition's next owner, but only
   where the metadata belongs to the offset the group stands at, and reading begins no lower: a group that was moved by
   hand begins afresh.
4. Each assignment of a partition has a generation. A ticket of another generation changes nothing: its work was
   dropped when the partition was revoked, and whoever owns the partition now does it again.
5. With each incomplete record travels how many owners in a row died with it in work. An owner writes it as if it was
   to die, and takes that back when it leaves in order, or when the partition comes back to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer.kafka.metadata import MOST_INCOMPLETE, Progress, decode, encode
from consumer.kafka.records import Partition, Ticket


class Commit(NamedTuple):
    """What is committed for a partition.

    Attributes:
        offset: next to read.
        metadata: progress beyond it, see `consumer.kafka.metadata`.
    """

    offset: int
    metadata: str


@dataclass(slots=True)
class _Record:
    """One that is not complete.

    Attributes:
        left: indexes of its recordings without an end; empty until it is polled in this assignment.
        deaths: owners in a row that died with it in work, before this one.
        begun: indexes of those that are in work.
    """

    left: set[int] = field(default_factory=set)
    deaths: int = 0
    begun: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Assignment:
    """A partition under one generation.

    Attributes:
        generation: of this assignment.
        base: the group's offset when it began, if there was one.
        end: one past the highest offset that is known, polled or told by earlier owners.
        position: one past the highest polled.
        committed: what the broker has.
        wary: an owner before us died with work in hand.
        incomplete: by offset, in rising order, as dicts remember it: what is new is above all that is known.
        awaited: those of them that were told by earlier owners and are not polled yet.
        begun: how many of them have a recording in work.
    """

    generation: int
    base: int | None = None
    end: int | None = None
    position: int | None = None
    committed: Commit | None = None
    wary: bool = False
    incomplete: dict[int, _Record] = field(default_factory=dict)
    awaited: deque[int] = field(default_factory=deque)
    begun: int = 0

    def progress(self, *, leaving: bool) -> Progress | None:
        if self.end is None:
            return None
        base = next(iter(self.incomplete), self.end)
        deaths = {
            each: record.deaths + (bool(record.begun) and not leaving) for each, record in self.incomplete.items()
        }
        if len(deaths) == self.end - base and not any(deaths.values()):
            return Progress(base, base)  # all of it is to be read again: that needs no telling
        return Progress(base, self.end, deaths)


class OffsetTracker:
    """Progress of all assigned partitions."""

    def __init__(self) -> None:
        self._assignments: dict[Partition, _Assignment] = {}
        self._survived: dict[Partition, set[int]] = {}
        self._generation = 0
        self.urgent = False
        """Whether a commit should not wait: a record was begun that nobody would know of if it killed the process."""

    def assign(self, partition: Partition, progress: Progress | None = None) -> int:
        """Begin a new generation of a partition and return it; whatever was known of the partition is forgotten.

        Args:
            partition: that is ours now.
            progress: what its earlier owners committed; None when nothing, or nothing is known.
        """
        self._generation += 1
        assignment = _Assignment(self._generation)
        survived = self._survived.pop(partition, ())
        if progress is not None:
            assignment.base, assignment.end = progress.base, progress.end
            assignment.committed = Commit(progress.base, encode(progress))
            assignment.incomplete = {
                offset: _Record(deaths=deaths - (deaths > 0 and offset in survived))
                for offset, deaths in progress.incomplete.items()
            }
            assignment.wary = any(record.deaths for record in assignment.incomplete.values())
            assignment.awaited.extend(assignment.incomplete)
        self._assignments[partition] = assignment
        return self._generation

    def revoke(self, partition: Partition) -> None:
        """Forget a partition; tickets of it are void from now on.

        What is remembered is where the broker was told of a death that did not happen: it is taken back when the
        partition comes back to this process.
        """
        assignment = self._assignments.pop(partition, None)
        if assignment is not None and assignment.committed is not None:
            told = decode(assignment.committed.metadata, assignment.committed.offset).incomplete
            self._survived[partition] = {
                offset for offset, record in assignment.incomplete.items() if told.get(offset, 0) > record.deaths
            }

    def completed_before(self, partition: Partition, offset: int) -> bool:
        """Whether an earlier owner completed a polled record; then it is passed over.

        Raises:
            ValueError: as `polled`.
        """
        assignment = self._reached(partition, offset)
        if assignment.end is None or offset >= assignment.end or offset in assignment.incomplete:
            return False
        assignment.position = offset + 1
        return True

    def polled(self, partition: Partition, offset: int, recordings: int) -> list[Ticket]:
        """Note a polled record that no earlier owner completed, and return a ticket for each of its recordings.

        Raises:
            ValueError: the partition is not assigned, or the offset is not above all polled before; a caller that
                sees this has mixed up assignments.
        """
        assignment = self._reached(partition, offset)
        assignment.position = offset + 1
        if assignment.end is None or offset >= assignment.end:
            assignment.end = offset + 1
            assignment.incomplete[offset] = _Record()
        else:
            assignment.awaited.popleft()
        if recordings:
            assignment.incomplete[offset].left.update(range(recordings))
        else:
            del assignment.incomplete[offset]
        return [Ticket(*partition, offset, assignment.generation, index) for index in range(recordings)]

    def begin(self, ticket: Ticket) -> None:
        """Note that a recording is in work: if the process dies now, its record may be why."""
        if not self.is_current(ticket):
            return
        assignment = self._assignments[ticket.topic_partition]
        record = assignment.incomplete[ticket.offset]
        if not record.begun:
            # In a partition in full swing the next regular commit tells of it soon enough.
            self.urgent = self.urgent or assignment.wary or not assignment.begun
            assignment.begun += 1
        record.begun.add(ticket.index)

    def deaths(self, ticket: Ticket) -> int:
        """How many owners of its partition in a row died with the record in work; the ticket is current."""
        return self._assignments[ticket.topic_partition].incomplete[ticket.offset].deaths

    def is_current(self, ticket: Ticket) -> bool:
        """Whether the ticket's recording is still ours and incomplete."""
        assignment = self._assignments.get(ticket.topic_partition)
        if assignment is None or assignment.generation != ticket.generation:
            return False
        record = assignment.incomplete.get(ticket.offset)
        return record is not None and ticket.index in record.left

    def complete(self, ticket: Ticket) -> bool:
        """Mark one recording as ended; returns whether that completed its record. A void ticket changes nothing."""
        if not self.is_current(ticket):
            return False
        assignment = self._assignments[ticket.topic_partition]
        record = assignment.incomplete[ticket.offset]
        record.left.remove(ticket.index)
        if record.begun == {ticket.index}:
            assignment.begun -= 1  # its other recordings wait, and may wait for this
        record.begun.discard(ticket.index)
        if record.left:
            return False
        del assignment.incomplete[ticket.offset]
        return True

    def full(self, partition: Partition) -> bool:
        """Whether one more record in work might be too many for the metadata of a commit."""
        assignment = self._assignments.get(partition)
        # What earlier owners left incomplete comes first, and has its room already.
        return assignment is not None and not assignment.awaited and len(assignment.incomplete) >= MOST_INCOMPLETE

    def commits(
        self, partitions: Iterable[Partition] | None = None, *, leaving: bool = False
    ) -> dict[Partition, Commit]:
        """What has changed since it was last noted as committed, of some partitions or of all.

        Args:
            partitions: those to look at.
            leaving: whether they go to somebody else in order, so that what is in work now did nobody any harm.
        """
        self.urgent = False
        changed: dict[Partition, Commit] = {}
        for partition in self._assignments if partitions is None else partitions:
            assignment = self._assignments.get(partition)
            progress = assignment.progress(leaving=leaving) if assignment is not None else None
            if assignment is not None and progress is not None:
                commit = Commit(progress.base, encode(progress))
                if commit != assignment.committed:
                    changed[partition] = commit
        return changed

    def committed(self, commits: Mapping[Partition, Commit]) -> None:
        """Note what the broker has confirmed; partitions that are not assigned any more are ignored."""
        for partition, commit in commits.items():
            if (assignment := self._assignments.get(partition)) is not None:
                assignment.committed = commit

    @property
    def records_in_work(self) -> int:
        """Records of which a recording was begun and has not ended, over all partitions."""
        return sum(each.begun for each in self._assignments.values())

    def incomplete_records(self) -> int:
        """Records polled and not complete, over all partitions."""
        return sum(len(each.incomplete) - len(each.awaited) for each in self._assignments.values())

    def _reached(self, partition: Partition, offset: int) -> _Assignment:
        """The assignment of a partition in which an offset was polled, without what that proves wrong."""
        assignment = self._assignments.get(partition)
        if assignment is None:
            raise ValueError(f"partition {partition} is not assigned")
        if assignment.position is not None and offset < assignment.position:
            raise ValueError(f"offset {offset} of {partition} was polled after {assignment.position - 1}")
        if assignment.position is None and assignment.base is not None and offset < assignment.base:
            # Reading began below the group's offset: the topic is another one of the same name, or was cut off.
            assignment.base = assignment.end = None
            assignment.incomplete.clear()
            assignment.awaited.clear()
        while assignment.awaited and assignment.awaited[0] < offset:
            del assignment.incomplete[assignment.awaited.popleft()]  # compaction or retention took it
        return assignment
