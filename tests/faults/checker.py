"""Did the group keep its promises? Evidence in, findings out. Pure.

Rules; a record is *settled* when each broker-acknowledged way out of it exists: a transcript, a dead letter, or a copy
in a retry topic that is tried later.

1. Nothing is lost: an upload whose offset is committed, and no copy of which still waits, has a transcript or a dead
   letter.
2. No commit passes an incomplete record: what a commit covers, by its offset or by its metadata, was settled before.
3. Only unfinished work is repeated: nobody begins work on a record that a commit covered already, unless it was
   stopped or cut off and could not know.
4. A repeat is recognisable: it has the id of the first transcript of the same bytes.
5. Order by object: of two uploads of one object in one partition, the first to end is the first uploaded. Between a
   transcript and a dead letter, whose topics have no common order, the work on them is compared. A copy in a retry
   topic gives up its place.
6. Every end is right: the text is that of an undisturbed run on the same bytes, and what cannot be transcribed is a
   dead letter of the right class. A recording of speech may be given up only for trouble that is said to pass.
7. A commit never goes back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.faults.evidence import Commit, Content, Ended, Evidence, Incoming, Place

PASSING = frozenset({"storage_unavailable", "storage_timeout", "storage_throttled"})
"""Classes for which a good recording may be given up, when the storage stays away for longer than it is retried."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise.

    Attributes:
        rule: row of the table it counts in.
        what: the recording or partition, and what is wrong, for a person who looks into it.
    """

    rule: str
    what: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the evidence says.

    Attributes:
        counts: by row of the table, those that must be zero not included.
        violations: every one.
        unchecked: rules for which evidence was missing.
    """

    counts: Mapping[str, int]
    violations: tuple[Violation, ...]
    unchecked: frozenset[str] = frozenset()

    def broken(self, rule: str) -> int:
        """How often a rule was broken."""
        return sum(each.rule == rule for each in self.violations)


LOST = "lost"
UNCOMMITTED = "still uncommitted"
TOO_EARLY = "committed before its end"
REPEATED_DONE = "repeated though committed"
OTHER_ID = "repeated under another id"
REORDERED = "out of order within an object"
WENT_BACK = "commits that went back"
WRONG_TEXT = "wrong transcripts"
WRONG_DEATH = "wrong dead letters"
UNKNOWN = "ends of nothing that was uploaded"
VANISHED = "uploads the brokers lost"

MUST_BE_ZERO = (
    *(LOST, UNCOMMITTED, TOO_EARLY, REPEATED_DONE, OTHER_ID, REORDERED),
    *(WENT_BACK, WRONG_TEXT, WRONG_DEATH, UNKNOWN, VANISHED),
)
ABOUT_COMMITS = frozenset({UNCOMMITTED, TOO_EARLY, REPEATED_DONE, WENT_BACK})


def check(evidence: Evidence, *, tolerance_ms: int = 0) -> Findings:
    """Hold the evidence against every rule.

    Args:
        evidence: of one run.
        tolerance_ms: by how much clocks of different machines may differ.
    """
    index = _Index(evidence)
    violations = [*_lost(index), *_repeated_under_another_id(index), *_reordered(index)]
    violations += [*_wrong(index), *_strange(index)]
    if evidence.commits is not None:
        violations += [
            *_uncommitted(index),
            *_committed_too_early(index, tolerance_ms),
            *_repeated_though_committed(index, tolerance_ms),
            *_went_back(evidence.commits),
        ]
    return Findings(_counts(index), tuple(violations), frozenset() if evidence.commits is not None else ABOUT_COMMITS)


class _Index:
    """The evidence, looked up by what the rules ask for."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.uploads = [each for each in evidence.incoming if each.attempt == 0]
        self.copies: defaultdict[str, list[Incoming]] = defaultdict(list)
        self.incoming: defaultdict[str, list[Incoming]] = defaultdict(list)
        for each in evidence.incoming:
            self.incoming[each.recording].append(each)
            if each.attempt:
                self.copies[each.recording].append(each)
        self.ends: defaultdict[str, list[Ended]] = defaultdict(list)
        for end in sorted(evidence.ended, key=lambda end: end.at_ms):
            self.ends[end.recording].append(end)
        self.covered_ms = _first_covered(evidence.incoming, evidence.commits or ())

    def settled_ms(self, record: Incoming) -> int | None:
        """When the first way out of a record was there; None when none is."""
        ways = [end.at_ms for end in self.ends[record.recording] if end.at_ms >= record.at_ms]
        ways += [copy.at_ms for copy in self.copies[record.recording] if copy.attempt > record.attempt]
        return min(ways, default=None)

    def contents(self, end: Ended) -> Mapping[str, Content]:
        return self.evidence.objects.get(end.object_id, {})


def _first_covered(incoming: Sequence[Incoming], commits: Iterable[Commit]) -> dict[Place, int]:
    """When a commit first said that a record is done, for each of which one does."""
    waiting: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for each in incoming:
        waiting[each.topic, each.partition].append(each.offset)
    for offsets in waiting.values():
        offsets.sort()
    covered: dict[Place, int] = {}
    for commit in sorted(commits, key=lambda commit: commit.at_ms):
        partition = commit.topic, commit.partition
        offsets = waiting[partition]
        passed = bisect_left(offsets, commit.offset)
        beyond = [offset for offset in offsets[passed:] if offset in commit.beyond] if commit.beyond else []
        for offset in (*offsets[:passed], *beyond):
            covered[commit.topic, commit.partition, offset] = commit.at_ms
        waiting[partition] = [offset for offset in offsets[passed:] if offset not in commit.beyond]
    return covered


def _counts(index: _Index) -> dict[str, int]:
    firsts = [ends[0] for ends in index.ends.values() if ends]
    given_up = [end for end in firsts if end.is_dead_letter and end.retryable]
    repeats = sum(len(ends) - 1 for ends in index.ends.values() if ends)
    return {
        "records in": len(index.uploads),
        "transcripts": sum(not end.is_dead_letter for end in firsts),
        "dead letters": sum(end.is_dead_letter for end in firsts) - len(given_up),
        "given up for passing trouble": len(given_up),
        "tried again through a retry topic": len([copies for copies in index.copies.values() if copies]),
        "repeated": repeats,
    }


def _lost(index: _Index) -> Iterator[Violation]:
    for record in index.uploads:
        if index.ends[record.recording]:
            continue
        if index.evidence.commits is None:
            waits = False
        else:
            waits = any(each.place not in index.covered_ms for each in index.incoming[record.recording])
        if not waits:
            yield Violation(LOST, f"{_named(record)} has neither a transcript nor a dead letter")


def _uncommitted(index: _Index) -> Iterator[Violation]:
    for record in index.evidence.incoming:
        if record.place not in index.covered_ms:
            yield Violation(UNCOMMITTED, f"{_named(record)} is not covered by any commit")


def _committed_too_early(index: _Index, tolerance_ms: int) -> Iterator[Violation]:
    for record in index.evidence.incoming:
        covered_ms, settled_ms = index.covered_ms.get(record.place), index.settled_ms(record)
        if covered_ms is not None and (settled_ms is None or covered_ms < settled_ms - tolerance_ms):
            when = "never" if settled_ms is None else f"{settled_ms - covered_ms} ms later"
            yield Violation(TOO_EARLY, f"{_named(record)} was committed at {covered_ms} and settled {when}")


def _repeated_though_committed(index: _Index, tolerance_ms: int) -> Iterator[Violation]:
    for recording, ends in index.ends.items():
        covered = [index.covered_ms.get(each.place) for each in index.incoming[recording]]
        if not covered or None in covered:
            continue
        done_ms = max(each for each in covered if each is not None)
        for end in ends[1:]:
            if end.begun_ms > done_ms + tolerance_ms and not _absent(index, end):
                by = f"by {end.member}" if end.member else "as a dead letter"
                late_ms = end.begun_ms - done_ms
                yield Violation(REPEATED_DONE, f"{recording} was begun again {by} {late_ms} ms after it was committed")


def _absent(index: _Index, end: Ended) -> bool:
    """Whether who made it may have had the record from before a commit it did not know of."""
    return any(
        absence.from_ms <= end.begun_ms <= absence.to_ms
        and (absence.member is None or end.member is None or absence.member == end.member)
        for absence in index.evidence.absences
    )


def _repeated_under_another_id(index: _Index) -> Iterator[Violation]:
    for recording, ends in index.ends.items():
        ids: dict[str, str] = {}
        for end in ends:
            if not end.is_dead_letter and ids.setdefault(end.etag, end.transcript_id) != end.transcript_id:
                yield Violation(OTHER_ID, f"{recording} has transcripts {ids[end.etag]} and {end.transcript_id}")


def _reordered(index: _Index) -> Iterator[Violation]:
    by_object: defaultdict[tuple[str, str, int], list[Incoming]] = defaultdict(list)
    for record in index.uploads:
        by_object[record.object_id, record.topic, record.partition].append(record)
    for records in by_object.values():
        records.sort(key=lambda record: record.offset)
        kept = [each for each in records if index.ends[each.recording] and not index.copies[each.recording]]
        for earlier, later in pairwise(kept):
            ahead_ms = _ahead_ms(index.ends[earlier.recording], index.ends[later.recording])
            if ahead_ms > 0:
                yield Violation(REORDERED, f"{_named(later)} ended {ahead_ms} ms before {_named(earlier)}")


def _ahead_ms(earlier: Sequence[Ended], later: Sequence[Ended]) -> int:
    """By how much the first end of the later of two uploads came before that of the earlier one."""
    if earlier[0].is_dead_letter == later[0].is_dead_letter:
        return earlier[0].at_ms - later[0].at_ms
    return min(end.made_ms for end in earlier) - min(end.made_ms for end in later)


def _wrong(index: _Index) -> Iterator[Violation]:
    for ends in index.ends.values():
        for end in ends:
            if index.incoming[end.recording]:
                yield from _wrong_end(end, index.contents(end))


def _wrong_end(end: Ended, contents: Mapping[str, Content]) -> Iterator[Violation]:
    if end.is_dead_letter:
        expected = {content.error_class for content in contents.values() if content.status == "dead-letter"}
        if end.error_class not in expected | PASSING:
            yield Violation(WRONG_DEATH, f"{end.recording} ({end.object_id}) is a dead letter: {end.error_class}")
        return
    content = contents.get(end.etag)
    if content is None or content.status != end.status or content.text != end.text:
        said = f"{end.status} {end.text!r}"
        should = "no such bytes were uploaded" if content is None else f"not {content.status} {content.text!r}"
        yield Violation(WRONG_TEXT, f"{end.recording} ({end.object_id}) says {said}, {should}")


def _strange(index: _Index) -> Iterator[Violation]:
    for recording, ends in index.ends.items():
        if ends and not index.incoming[recording]:
            yield Violation(UNKNOWN, f"{recording} ended, and no record announced it")
    for recording in index.evidence.announced - {record.recording for record in index.uploads}:
        yield Violation(VANISHED, f"{recording} was acknowledged and is not in the upload topic")


def _went_back(commits: Sequence[Commit]) -> Iterator[Violation]:
    highest: dict[tuple[str, int], int] = {}
    for commit in commits:
        partition = commit.topic, commit.partition
        before = highest.get(partition, 0)
        if commit.offset < before:
            yield Violation(WENT_BACK, f"{commit.topic}/{commit.partition} went from {before} to {commit.offset}")
        highest[partition] = max(before, commit.offset)


def _named(record: Incoming) -> str:
    return f"{record.recording} ({record.topic}/{record.partition}/{record.offset})"
