from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from consumer.kafka.metadata import MOST_BYTES, MOST_INCOMPLETE, Progress, decode
from consumer.kafka.offsets import Commit, OffsetTracker
from consumer.kafka.records import Partition, Ticket

PARTITIONS: tuple[Partition, ...] = (("audio-uploaded", 0), ("audio-uploaded", 1))
P0 = PARTITIONS[0]


def complete_all(tracker: OffsetTracker, tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        tracker.complete(ticket)


def offsets_of(tracker: OffsetTracker) -> dict[Partition, int]:
    return {partition: commit.offset for partition, commit in tracker.commits().items()}


def handed_over(tracker: OffsetTracker, *, leaving: bool = False) -> OffsetTracker:
    """The tracker of the partition's next owner."""
    commit = tracker.commits(leaving=leaving).get(P0) or tracker._assignments[P0].committed
    assert commit is not None
    following = OffsetTracker()
    following.assign(P0, decode(commit.metadata, commit.offset))
    return following


def test_nothing_polled_nothing_to_commit() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    assert tracker.commits() == {}


def test_the_lowest_incomplete_offset_is_committed() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    (first,) = tracker.polled(P0, 5, 1)
    (second,) = tracker.polled(P0, 6, 1)
    assert tracker.complete(second)
    assert offsets_of(tracker) == {P0: 5}
    assert tracker.complete(first)
    assert offsets_of(tracker) == {P0: 7}


def test_a_record_is_complete_only_when_all_its_recordings_are() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    tickets = tracker.polled(P0, 0, 3)
    assert [tracker.complete(ticket) for ticket in tickets] == [False, False, True]
    assert offsets_of(tracker) == {P0: 1}


def test_a_record_without_recordings_is_complete_at_once() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    assert tracker.polled(P0, 3, 0) == []
    assert offsets_of(tracker) == {P0: 4}


def test_gaps_between_offsets_are_not_waited_for() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    complete_all(tracker, tracker.polled(P0, 10, 1) + tracker.polled(P0, 90, 1))
    assert offsets_of(tracker) == {P0: 91}


def test_completing_twice_changes_nothing() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    (first,) = tracker.polled(P0, 0, 1)
    tracker.polled(P0, 1, 1)
    assert tracker.complete(first)
    assert not tracker.complete(first)
    assert offsets_of(tracker) == {P0: 1}


def test_a_ticket_of_an_older_generation_is_void() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    (late,) = tracker.polled(P0, 0, 1)
    tracker.revoke(P0)
    tracker.assign(P0)
    (again,) = tracker.polled(P0, 0, 1)
    assert not tracker.complete(late)
    assert offsets_of(tracker) == {P0: 0}
    assert tracker.complete(again)


def test_what_is_committed_is_not_offered_again() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    complete_all(tracker, tracker.polled(P0, 0, 1))
    commits = tracker.commits()
    tracker.committed(commits)
    assert tracker.commits() == {}
    tracker.committed({PARTITIONS[1]: Commit(7, "")})  # not ours: ignored
    assert tracker.commits() == {}


def test_mixed_up_callers_are_told() -> None:
    tracker = OffsetTracker()
    with pytest.raises(ValueError, match="not assigned"):
        tracker.polled(P0, 0, 1)
    tracker.assign(P0)
    tracker.polled(P0, 4, 1)
    with pytest.raises(ValueError, match="polled after 4"):
        tracker.polled(P0, 4, 1)


def test_what_completed_beyond_the_offset_is_passed_over_by_the_next_owner() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    tickets = [ticket for offset in range(5) for ticket in tracker.polled(P0, offset, 1)]
    complete_all(tracker, [tickets[1], tickets[3], tickets[4]])
    following = handed_over(tracker)
    assert not following.completed_before(P0, 0)
    following.polled(P0, 0, 1)
    assert following.completed_before(P0, 1)
    assert not following.completed_before(P0, 2)
    (third,) = following.polled(P0, 2, 1)
    assert following.completed_before(P0, 3)
    assert following.completed_before(P0, 4)
    assert not following.completed_before(P0, 5)
    following.complete(third)
    commit = following.commits()[P0]
    assert decode(commit.metadata, commit.offset) == Progress(0, 5, {0: 0})


def test_an_owner_that_reads_nothing_keeps_what_is_known() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    tickets = [ticket for offset in range(3) for ticket in tracker.polled(P0, offset, 1)]
    complete_all(tracker, tickets[1:])
    second = handed_over(tracker)
    second.polled(P0, 0, 1)
    third = OffsetTracker()
    progress = decode(tracker.commits()[P0].metadata, 0)
    assert second.commits() == {}, "the broker has it already"
    third.assign(P0, progress)
    third.polled(P0, 0, 1)
    assert third.completed_before(P0, 1)


def test_what_retention_took_is_not_waited_for() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    tickets = [ticket for offset in range(4) for ticket in tracker.polled(P0, offset, 1)]
    complete_all(tracker, tickets[2:])
    following = handed_over(tracker)
    assert following.completed_before(P0, 2), "0 and 1 are gone"
    assert offsets_of(following) == {P0: 4}


def test_a_group_that_reads_from_below_its_offset_begins_afresh() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    tickets = [ticket for offset in range(10, 14) for ticket in tracker.polled(P0, offset, 1)]
    complete_all(tracker, tickets[1:])
    following = handed_over(tracker)
    assert not following.completed_before(P0, 3)
    following.polled(P0, 3, 0)
    assert not following.completed_before(P0, 11)
    following.polled(P0, 11, 0)
    assert offsets_of(following) == {P0: 12}


def test_who_dies_with_a_record_in_work_is_counted_and_who_leaves_is_not() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    for deaths, leaving in ((0, False), (1, False), (2, True), (2, False), (3, False)):
        first, second = tracker.polled(P0, 0, 1) + tracker.polled(P0, 1, 1)
        assert tracker.deaths(first) == deaths
        assert tracker.deaths(second) == 0
        tracker.begin(first)
        tracker = handed_over(tracker, leaving=leaving)


def test_a_first_record_in_work_is_told_at_once_and_all_are_after_a_death() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    first, second = tracker.polled(P0, 0, 1) + tracker.polled(P0, 1, 1)
    urgent = [tracker.urgent]
    tracker.begin(first)
    urgent.append(tracker.urgent)
    following = handed_over(tracker)
    urgent.append(tracker.urgent)
    tracker.begin(second)
    urgent.append(tracker.urgent)
    assert urgent == [False, True, False, False], "the next regular commit tells of the second"
    first, second = following.polled(P0, 0, 1) + following.polled(P0, 1, 1)
    following.begin(first)
    following.commits()
    following.begin(second)
    assert following.urgent


def test_a_record_is_in_work_while_one_of_its_recordings_is() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    first, second = tracker.polled(P0, 0, 2)
    tracker.begin(first)
    assert tracker.records_in_work == 1
    tracker.complete(first)
    assert tracker.records_in_work == 0
    tracker.begin(second)
    assert tracker.records_in_work == 1
    tracker.complete(second)
    assert tracker.records_in_work == 0


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_partition_that_was_lost_and_comes_back_tells_of_no_death(confirmed: bool) -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    commit = Commit(0, "")
    for _ in range(3):
        (ticket,) = tracker.polled(P0, 0, 1)
        assert tracker.deaths(ticket) == 0
        tracker.begin(ticket)
        if confirmed:
            commit = tracker.commits().get(P0, commit)
            tracker.committed({P0: commit})
        tracker.revoke(P0)  # without a commit: it is lost
        tracker.assign(P0, decode(commit.metadata, commit.offset))


def test_deaths_of_others_count_in_a_partition_that_comes_back() -> None:
    ours, theirs = OffsetTracker(), OffsetTracker()
    ours.assign(P0)
    ours.begin(*ours.polled(P0, 0, 1))
    commit = ours.commits()[P0]
    ours.committed({P0: commit})
    ours.revoke(P0)
    theirs.assign(P0, decode(commit.metadata, commit.offset))
    (ticket,) = theirs.polled(P0, 0, 1)
    assert theirs.deaths(ticket) == 1, "they cannot know that we live"
    theirs.begin(ticket)
    commit = theirs.commits()[P0]
    ours.assign(P0, decode(commit.metadata, commit.offset))
    assert ours.deaths(*ours.polled(P0, 0, 1)) == 1


def test_intake_ends_before_the_metadata_overflows() -> None:
    tracker = OffsetTracker()
    tracker.assign(P0)
    offset = 0
    while not tracker.full(P0):
        tracker.polled(P0, offset, 1)
        offset += 2**20
    assert len(tracker.commits()[P0].metadata) <= MOST_BYTES
    following = handed_over(tracker)
    assert not following.full(P0), "what was left incomplete must be read before anything new"
    for at in range(0, offset, 2**20):
        assert not following.full(P0)
        following.polled(P0, at, 1)
    assert following.full(P0)


class Offsets(RuleBasedStateMachine):
    """Members of a group against a broker, and a model that remembers everything that ever happened."""

    tickets: Bundle[tuple[int, Ticket]] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker()
        self.life = 0  # a crash begins a new one, and tickets of older ones are gone with it
        self.log: dict[Partition, list[int]] = {each: [] for each in PARTITIONS}  # offsets that exist
        self.next_offset = dict.fromkeys(PARTITIONS, 0)
        self.broker: dict[Partition, Commit] = {}
        self.ended: set[tuple[Partition, int]] = set()  # acknowledged since the group was last moved below them
        self.told: set[tuple[Partition, int]] = set()  # of these, what the broker was told
        self.known: set[tuple[Partition, int]] = set()  # of these, what the owner knows: told before, or ended by it
        self.position: dict[Partition, int] = {}  # of those assigned
        self.generations: dict[Partition, int] = {}
        self.open: dict[tuple[Partition, int], set[int]] = {}  # in this assignment

    # --- the group ---

    @rule(partition=st.sampled_from(PARTITIONS))
    def assign(self, partition: Partition) -> None:
        if partition in self.generations:
            return
        commit = self.broker.get(partition)
        progress = None if commit is None else decode(commit.metadata, commit.offset)
        self.generations[partition] = self.tracker.assign(partition, progress)
        self.position[partition] = 0 if commit is None else commit.offset
        self.known = {each for each in self.known if each[0] != partition}
        self.known |= {each for each in self.told if each[0] == partition}

    @rule(partition=st.sampled_from(PARTITIONS), kind=st.sampled_from(["leave", "lose"]))
    def revoke(self, partition: Partition, kind: str) -> None:
        if partition in self.generations:
            if kind == "leave":
                self.take(self.tracker.commits([partition], leaving=True))
            self.tracker.revoke(partition)
            self.forget(partition)

    @rule()
    def crash(self) -> None:
        for partition in list(self.generations):
            self.forget(partition)
        self.tracker = OffsetTracker()
        self.life += 1

    def forget(self, partition: Partition) -> None:
        del self.generations[partition]
        del self.position[partition]
        self.open = {key: value for key, value in self.open.items() if key[0] != partition}

    # --- the topic ---

    @rule(partition=st.sampled_from(PARTITIONS), gap=st.sampled_from([0, 0, 0, 1, 3, 2**21]), count=st.integers(1, 4))
    def produce(self, partition: Partition, gap: int, count: int) -> None:
        for _ in range(count):
            self.log[partition].append(self.next_offset[partition] + gap)
            self.next_offset[partition] += gap + 1

    @rule(partition=st.sampled_from(PARTITIONS), data=st.data())
    def compact(self, partition: Partition, data: st.DataObject) -> None:
        unread = [each for each in self.log[partition] if each >= self.position.get(partition, 0)]
        if unread:
            self.log[partition].remove(data.draw(st.sampled_from(unread)))

    @rule(partition=st.sampled_from(PARTITIONS), data=st.data())
    def move_by_hand(self, partition: Partition, data: st.DataObject) -> None:
        if partition not in self.generations:
            offset = data.draw(st.integers(0, self.next_offset[partition]))
            self.broker[partition] = Commit(offset, "")
            self.ended = {each for each in self.ended if each[0] != partition or each[1] < offset}
            self.ended |= {(partition, each) for each in self.log[partition] if each < offset}
            self.told = {each for each in self.told if each[0] != partition}

    @rule(partition=st.sampled_from(PARTITIONS), metadata=st.sampled_from(["", "somebody else's", "tingxie/1:AAAA"]))
    def overwrite_metadata(self, partition: Partition, metadata: str) -> None:
        if partition not in self.generations and partition in self.broker:
            self.broker[partition] = Commit(self.broker[partition].offset, metadata)
            self.told = {each for each in self.told if each[0] != partition}

    # --- work ---

    @rule(target=tickets, partition=st.sampled_from(PARTITIONS), recordings=st.integers(1, 3))
    def poll(self, partition: Partition, recordings: int) -> Any:
        following = self.poll_one(partition, recordings)
        return multiple() if following is None else following

    @rule(partition=st.sampled_from(PARTITIONS), data=st.data())
    def poll_a_backlog_and_end_some_of_it(self, partition: Partition, data: st.DataObject) -> None:
        """More than there is room for, in an order of the worst kind: every second one ends."""
        if partition not in self.generations:
            return
        self.produce(partition, 0, 2 * MOST_INCOMPLETE)
        for number in range(2 * MOST_INCOMPLETE):
            polled = self.poll_one(partition, 1)
            if polled is not None and number % 2:
                self.end(polled)
        if data.draw(st.booleans()):
            for key in [key for key in self.open if key[0] == partition]:
                for index in set(self.open[key]):
                    self.end((self.life, Ticket(*partition, key[1], self.generations[partition], index)))

    def poll_one(self, partition: Partition, recordings: int) -> tuple[int, Ticket] | None:
        if partition not in self.generations or self.tracker.full(partition):
            return None
        following = next((each for each in self.log[partition] if each >= self.position[partition]), None)
        if following is None:
            return None
        self.position[partition] = following + 1
        if self.tracker.completed_before(partition, following):
            assert (partition, following) in self.ended, "passed over without ever having ended"
            return None
        assert (partition, following) not in self.told, "done again although the broker was told that it is complete"
        tickets = self.tracker.polled(partition, following, recordings)
        self.open[partition, following] = {ticket.index for ticket in tickets}
        for ticket in tickets:
            self.tracker.begin(ticket)
        # One of them goes on its way here; the others end at once, so that the bundle holds single tickets.
        for ticket in tickets[1:]:
            self.end((self.life, ticket))
        return self.life, tickets[0]

    @rule(ticket=consumes(tickets))
    def end_once(self, ticket: tuple[int, Ticket]) -> None:
        self.end(ticket)

    @rule(ticket=tickets)
    def end_and_maybe_again(self, ticket: tuple[int, Ticket]) -> None:
        self.end(ticket)

    def end(self, polled: tuple[int, Ticket]) -> None:
        life, ticket = polled
        if life != self.life:
            return
        partition = (ticket.topic, ticket.partition)
        current = self.generations.get(partition) == ticket.generation
        was_open = current and ticket.index in self.open.get((partition, ticket.offset), set())
        assert self.tracker.is_current(ticket) == was_open
        completed = self.tracker.complete(ticket)
        if was_open:
            self.open[partition, ticket.offset].remove(ticket.index)
            assert completed == (not self.open[partition, ticket.offset])
            if completed:
                del self.open[partition, ticket.offset]
                self.ended.add((partition, ticket.offset))
                self.known.add((partition, ticket.offset))
        else:
            assert not completed

    @rule(confirmed=st.booleans())
    def commit(self, confirmed: bool) -> None:
        commits = self.tracker.commits()
        self.take(commits)
        if confirmed:
            self.tracker.committed(commits)
            assert self.tracker.commits() == {}

    def take(self, commits: dict[Partition, Commit]) -> None:
        self.broker.update(commits)
        for partition in commits:
            self.told = {each for each in self.told if each[0] != partition}
            self.told |= {each for each in self.known if each[0] == partition}

    # --- what must hold ---

    @invariant()
    def no_commit_passes_a_record_without_an_end(self) -> None:
        for partition, commit in (self.broker | self.tracker.commits()).items():
            passed = {(partition, each) for each in self.log[partition] if each < commit.offset}
            assert passed <= self.ended
            assert len(commit.metadata.encode()) <= MOST_BYTES

    @invariant()
    def when_all_is_read_and_ended_all_is_committable(self) -> None:
        for partition in self.generations:
            left = [key for key in self.open if key[0] == partition]
            if not left and self.log[partition] and self.position[partition] > self.log[partition][-1]:
                commit = self.tracker.commits([partition]).get(partition, self.broker.get(partition))
                assert commit is not None
                assert commit.offset > self.log[partition][-1]

    @invariant()
    def counts_agree(self) -> None:
        assert self.tracker.incomplete_records() == len(self.open)


TestOffsets = Offsets.TestCase
TestOffsets.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
