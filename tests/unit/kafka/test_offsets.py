from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from consumer.kafka.offsets import OffsetTracker
from consumer.kafka.records import Partition, Ticket

PARTITIONS: tuple[Partition, ...] = (("audio-uploaded", 0), ("audio-uploaded", 1))
P0 = PARTITIONS[0]


def complete_all(tracker: OffsetTracker, tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        tracker.complete(ticket)


def test_nothing_polled_nothing_to_commit() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    assert tracker.committable() == {}


def test_the_lowest_incomplete_offset_is_committed() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    (first,) = tracker.polled(P0, 5, 1)
    (second,) = tracker.polled(P0, 6, 1)
    assert tracker.complete(second)
    assert tracker.committable() == {P0: 5}
    assert tracker.complete(first)
    assert tracker.committable() == {P0: 7}


def test_a_record_is_complete_only_when_all_its_recordings_are() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    tickets = tracker.polled(P0, 0, 3)
    assert [tracker.complete(ticket) for ticket in tickets] == [False, False, True]
    assert tracker.committable() == {P0: 1}


def test_a_record_without_recordings_is_complete_at_once() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    assert tracker.polled(P0, 3, 0) == []
    assert tracker.committable() == {P0: 4}


def test_gaps_between_offsets_are_not_waited_for() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    complete_all(tracker, tracker.polled(P0, 10, 1) + tracker.polled(P0, 90, 1))
    assert tracker.committable() == {P0: 91}


def test_completing_twice_changes_nothing() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    (first,) = tracker.polled(P0, 0, 1)
    tracker.polled(P0, 1, 1)
    assert tracker.complete(first)
    assert not tracker.complete(first)
    assert tracker.committable() == {P0: 1}


def test_a_ticket_of_an_older_generation_is_void() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    (late,) = tracker.polled(P0, 0, 1)
    tracker.revoke(P0)
    tracker.assign(P0)
    (again,) = tracker.polled(P0, 0, 1)
    assert not tracker.complete(late)
    assert tracker.committable() == {P0: 0}
    assert tracker.complete(again)


def test_what_is_committed_is_not_offered_again() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    complete_all(tracker, tracker.polled(P0, 0, 1))
    offsets = tracker.committable()
    tracker.committed(offsets)
    assert tracker.committable() == {}
    tracker.committed({PARTITIONS[1]: 7})  # not ours: ignored
    assert tracker.committable() == {}


def test_mixed_up_callers_are_told() -> None:
    tracker = OffsetTracker()
    with pytest.raises(ValueError, match="not assigned"):
        tracker.polled(P0, 0, 1)
    tracker.assign(P0)
    tracker.polled(P0, 4, 1)
    with pytest.raises(ValueError, match="polled after 4"):
        tracker.polled(P0, 4, 1)


class Offsets(RuleBasedStateMachine):
    """Against a model that remembers everything: which (partition, offset) has ended, and which were ever polled."""

    tickets: Bundle[Ticket] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker()
        self.generations: dict[Partition, int] = {}
        self.polled: dict[Partition, list[int]] = {each: [] for each in PARTITIONS}  # in the current generation
        self.open: dict[tuple[Partition, int], set[int]] = {}  # recordings without an end, current generation
        self.next_offset = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)

    def assigned(self) -> list[Partition]:
        return [each for each in PARTITIONS if each in self.generations]

    @rule(partition=st.sampled_from(PARTITIONS))
    def assign(self, partition: Partition) -> None:
        if partition not in self.generations:
            self.generations[partition] = self.tracker.assign(partition)
            self.polled[partition] = []
            self.next_offset[partition] = self.committed[partition]

    @rule(partition=st.sampled_from(PARTITIONS), lose=st.booleans())
    def revoke(self, partition: Partition, lose: bool) -> None:
        if partition in self.generations:
            if not lose:
                self.commit()
            self.tracker.revoke(partition)
            del self.generations[partition]
            self.open = {key: value for key, value in self.open.items() if key[0] != partition}

    @precondition(lambda self: self.assigned())
    @rule(target=tickets, data=st.data(), gap=st.integers(0, 3), recordings=st.integers(1, 3))
    def poll(self, data: st.DataObject, gap: int, recordings: int) -> Ticket:
        partition = data.draw(st.sampled_from(self.assigned()))
        offset = self.next_offset[partition] + gap
        self.next_offset[partition] = offset + 1
        tickets = self.tracker.polled(partition, offset, recordings)
        self.polled[partition].append(offset)
        self.open[partition, offset] = {ticket.index for ticket in tickets}
        # One of them goes on its way here; the others end at once, so that the bundle holds single tickets.
        for ticket in tickets[1:]:
            self.end(ticket)
        return tickets[0]

    @rule(ticket=consumes(tickets))
    def end_once(self, ticket: Ticket) -> None:
        self.end(ticket)

    @rule(ticket=tickets)
    def end_and_maybe_again(self, ticket: Ticket) -> None:
        self.end(ticket)

    def end(self, ticket: Ticket) -> None:
        partition = (ticket.topic, ticket.partition)
        current = self.generations.get(partition) == ticket.generation
        was_open = current and ticket.index in self.open.get((partition, ticket.offset), set())
        assert self.tracker.is_current(ticket) == was_open
        completed = self.tracker.complete(ticket)
        if was_open:
            self.open[partition, ticket.offset].remove(ticket.index)
            assert completed == (not self.open[partition, ticket.offset])
        else:
            assert not completed

    @rule()
    def commit(self) -> None:
        offsets = self.tracker.committable()
        self.tracker.committed(offsets)
        self.committed.update(offsets)
        assert self.tracker.committable() == {}

    @invariant()
    def no_commit_passes_an_incomplete_record(self) -> None:
        for partition, offset in (self.committed | self.tracker.committable()).items():
            if partition in self.generations:
                assert not [
                    each for (own, each), left in self.open.items() if own == partition and left and each < offset
                ]

    @invariant()
    def everything_complete_is_committable(self) -> None:
        committable = self.tracker.committable()
        for partition in self.assigned():
            left = [each for (own, each), indexes in self.open.items() if own == partition and indexes]
            if self.polled[partition] and not left:
                expected = self.polled[partition][-1] + 1
                assert committable.get(partition, self.committed[partition]) == expected

    @invariant()
    def counts_agree(self) -> None:
        assert self.tracker.incomplete_records() == sum(1 for left in self.open.values() if left)


TestOffsets = Offsets.TestCase
TestOffsets.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
