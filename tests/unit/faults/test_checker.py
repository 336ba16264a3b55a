"""The checker finds what is wrong: each promise is broken on purpose, in a run that keeps all of them otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults import checker
from tests.faults.checker import MUST_BE_ZERO, check
from tests.faults.evidence import Absence, Commit, Content, Ended, Evidence, Incoming

UPLOADS, RETRY = "uploads", "uploads.retry.2s"
GOOD, BAD = Content("completed", "你好。"), Content("dead-letter", error_class="not_media")
PARTITIONS = 2
STEP_MS = 1000


def upload(number: int, *, partition: int | None = None, object_id: str | None = None) -> Incoming:
    partition = number % PARTITIONS if partition is None else partition
    return Incoming(UPLOADS, partition, number, number * STEP_MS, f"r{number}", object_id or f"audio/{number}.wav")


def end_of(record: Incoming, *, late_ms: int = 500, member: str = "a.1", bad: bool = False) -> Ended:
    at_ms = record.at_ms + late_ms
    if bad:
        return Ended(
            record.recording, record.object_id, at_ms, at_ms - 10, at_ms - 100, "dead-letter", error_class="not_media"
        )
    return Ended(
        recording=record.recording,
        object_id=record.object_id,
        at_ms=at_ms,
        made_ms=at_ms - 10,
        begun_ms=at_ms - 100,
        status="completed",
        member=member,
        etag="good",
        text="你好。",
        transcript_id=f"id of {record.recording}",
    )


def run_of(count: int) -> Evidence:
    """Uploads in order, each committed at once; every fifth is no media, the sixth is of the object of the fourth."""
    records = [upload(number) for number in range(count)]
    if count > 6:
        records[6] = replace(records[6], object_id=records[4].object_id)
    ends = [end_of(record, bad=record.offset % 5 == 0) for record in records]
    commits = [
        Commit(record.topic, record.partition, end.at_ms + 100, record.offset + 1)
        for record, end in zip(records, ends, strict=True)
    ]
    objects = {record.object_id: {"good": GOOD} for record in records}
    objects |= {record.object_id: {"bad": BAD} for record in records if record.offset % 5 == 0}
    return Evidence(
        tuple(records), tuple(ends), tuple(commits), (), objects, frozenset(record.recording for record in records)
    )


def committed(run: Evidence) -> tuple[Commit, ...]:
    assert run.commits is not None
    return run.commits


def with_commit(run: Evidence, commit: Commit) -> Evidence:
    return replace(run, commits=tuple(sorted((*committed(run), commit), key=lambda each: each.at_ms)))


def ended_at(end: Ended, at_ms: int) -> Ended:
    return replace(end, at_ms=at_ms, made_ms=at_ms - 1, begun_ms=at_ms - 5)


def rules(evidence: Evidence, **options: int) -> set[str]:
    return {violation.rule for violation in check(evidence, **options).violations}


@pytest.mark.parametrize("count", [0, 1, 7, 50])
def test_a_run_that_keeps_every_promise_has_no_violation(count: int) -> None:
    findings = check(run_of(count))
    assert findings.violations == ()
    assert findings.counts["records in"] == count
    assert findings.counts["transcripts"] + findings.counts["dead letters"] == count
    assert findings.counts["repeated"] == 0


# --- one planted violation of each kind -----------------------------------------------------------------------------


def without_end(run: Evidence, at: int) -> Evidence:
    return replace(run, ended=(*run.ended[:at], *run.ended[at + 1 :]))


def without_commit(run: Evidence, at: int) -> Evidence:
    place = run.incoming[at].partition
    kept = [each for each in committed(run) if each.partition != place or each.offset <= run.incoming[at].offset]
    return replace(run, commits=tuple(kept))


def committed_early(run: Evidence, at: int) -> Evidence:
    record = run.incoming[at]
    return with_commit(run, Commit(UPLOADS, record.partition, record.at_ms + 1, record.offset + 1))


def told_early_by_metadata(run: Evidence, at: int) -> Evidence:
    record = run.incoming[at]
    before = max(0, record.offset - PARTITIONS + 1)
    return with_commit(run, Commit(UPLOADS, record.partition, record.at_ms + 1, before, frozenset({record.offset})))


def repeated_after_commit(run: Evidence, at: int) -> Evidence:
    return replace(run, ended=(*run.ended, end_of(run.incoming[at], late_ms=5000, bad=run.ended[at].is_dead_letter)))


def other_id(run: Evidence, at: int) -> Evidence:
    at = at if not run.ended[at].is_dead_letter else at + 1
    again = replace(end_of(run.incoming[at], late_ms=550), transcript_id="another")
    return replace(run, ended=(*run.ended, again))


def reordered(run: Evidence, _: int) -> Evidence:
    """The second upload of an object ends before the first."""
    late = replace(run.ended[4], at_ms=run.ended[6].at_ms + 1)
    commits = tuple(replace(each, at_ms=each.at_ms + 10_000) for each in committed(run))
    return replace(run, ended=(*run.ended[:4], late, *run.ended[5:]), commits=commits)


def went_back(run: Evidence, _: int) -> Evidence:
    last = committed(run)[-1]
    return replace(run, commits=(*committed(run), replace(last, at_ms=last.at_ms + 1, offset=last.offset - 1)))


def wrong_text(run: Evidence, at: int) -> Evidence:
    at = at if not run.ended[at].is_dead_letter else at + 1
    return replace(run, ended=(*run.ended[:at], replace(run.ended[at], text="再见。"), *run.ended[at + 1 :]))


def transcript_of_nothing(run: Evidence, _: int) -> Evidence:
    return replace(run, ended=(replace(end_of(run.incoming[0])), *run.ended[1:]))


def other_bytes(run: Evidence, at: int) -> Evidence:
    at = at if not run.ended[at].is_dead_letter else at + 1
    return replace(run, ended=(*run.ended[:at], replace(run.ended[at], etag="stale"), *run.ended[at + 1 :]))


def wrong_class(run: Evidence, _: int) -> Evidence:
    return replace(run, ended=(replace(run.ended[0], error_class="decoder_crashed"), *run.ended[1:]))


def good_given_up(run: Evidence, at: int) -> Evidence:
    at = at if not run.ended[at].is_dead_letter else at + 1
    letter = replace(run.ended[at], status="dead-letter", error_class="spool_full", retryable=True)
    return replace(run, ended=(*run.ended[:at], letter, *run.ended[at + 1 :]))


def end_of_nothing(run: Evidence, _: int) -> Evidence:
    return replace(run, ended=(*run.ended, end_of(upload(999))))


def vanished(run: Evidence, _: int) -> Evidence:
    return replace(run, announced=run.announced | {"r999"})


PLANTED: list[tuple[Callable[[Evidence, int], Evidence], set[str]]] = [
    (without_end, {checker.LOST, checker.TOO_EARLY}),
    (without_commit, {checker.UNCOMMITTED}),
    (committed_early, {checker.TOO_EARLY}),
    (told_early_by_metadata, {checker.TOO_EARLY}),
    (repeated_after_commit, {checker.REPEATED_DONE}),
    (other_id, {checker.OTHER_ID}),
    (reordered, {checker.REORDERED}),
    (went_back, {checker.WENT_BACK}),
    (wrong_text, {checker.WRONG_TEXT}),
    (transcript_of_nothing, {checker.WRONG_TEXT}),
    (other_bytes, {checker.WRONG_TEXT}),
    (wrong_class, {checker.WRONG_DEATH}),
    (good_given_up, {checker.WRONG_DEATH}),
    (end_of_nothing, {checker.UNKNOWN}),
    (vanished, {checker.VANISHED}),
]


@pytest.mark.parametrize(("plant", "expected"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
@given(at=st.integers(min_value=0, max_value=17))
def test_a_planted_violation_is_found_and_nothing_else(
    plant: Callable[[Evidence, int], Evidence], expected: set[str], at: int
) -> None:
    found = rules(plant(run_of(20), at))
    # An early commit of a high offset also covers what came before it, which is too early as well.
    assert found == expected


def test_every_promise_has_a_planted_violation() -> None:
    assert set().union(*(expected for _, expected in PLANTED)) == set(MUST_BE_ZERO)


# --- what is no violation -------------------------------------------------------------------------------------------


def test_work_that_was_not_committed_may_be_repeated_and_is_counted() -> None:
    run = run_of(10)
    # The member was killed after the transcript and before the commit.
    again = end_of(run.incoming[3], late_ms=550, member="b.1")
    findings = check(replace(run, ended=(*run.ended, again)))
    assert findings.violations == ()
    assert findings.counts["repeated"] == 1


def test_who_was_stopped_meanwhile_could_not_know() -> None:
    run = repeated_after_commit(run_of(10), 3)
    begun = run.ended[-1].begun_ms
    away = Absence("a.1", begun - 10, begun + 10)
    assert rules(replace(run, absences=(away,))) == set()
    assert rules(replace(run, absences=(replace(away, member=None),))) == set()
    assert rules(replace(run, absences=(replace(away, member="b.1"),))) == {checker.REPEATED_DONE}
    assert rules(replace(run, absences=(replace(away, to_ms=begun - 5),))) == {checker.REPEATED_DONE}


def test_a_record_that_nobody_committed_is_not_lost_yet() -> None:
    run = without_commit(without_end(run_of(10), 9), 9)
    assert rules(run) == {checker.UNCOMMITTED}


def test_a_copy_in_a_retry_topic_settles_the_upload_and_then_must_end_itself() -> None:
    run = run_of(10)
    record = run.incoming[3]
    copy = Incoming(RETRY, 0, 0, record.at_ms + 300, record.recording, record.object_id, attempt=1)
    handed_over = Commit(UPLOADS, record.partition, record.at_ms + 400, record.offset + 1)
    others = tuple(each for each in run.ended if each.recording != record.recording)
    waiting = with_commit(replace(run, incoming=(*run.incoming, copy), ended=others), handed_over)
    assert rules(waiting) == {checker.UNCOMMITTED}, "the copy waits to be tried"
    dropped = with_commit(waiting, Commit(RETRY, 0, record.at_ms + 900, 1))
    assert rules(dropped) == {checker.LOST, checker.TOO_EARLY}, "the copy was committed without an end"
    ended = replace(dropped, ended=(*others, end_of(record, late_ms=800)))
    assert rules(ended) == set()
    assert check(ended).counts["tried again through a retry topic"] == 1


def test_a_copy_in_a_retry_topic_gives_up_its_place() -> None:
    run = reordered(run_of(10), 0)
    record = run.incoming[4]
    copy = Incoming(RETRY, 0, 0, record.at_ms + 300, record.recording, record.object_id, attempt=1)
    last = Commit(RETRY, 0, 10**9, 1)
    assert rules(replace(run, incoming=(*run.incoming, copy), commits=(*committed(run), last))) == set()


def test_a_dead_letter_may_be_delivered_late_but_must_not_be_made_late() -> None:
    run = run_of(10)
    letter = replace(run.ended[5], recording="r4", object_id=run.incoming[4].object_id, made_ms=4_500, at_ms=9_000)
    commits = tuple(replace(each, at_ms=each.at_ms + 10_000) for each in committed(run))
    objects = {**run.objects, run.incoming[4].object_id: {"good": GOOD, "bad": BAD}}
    late = replace(run, ended=(*run.ended[:4], letter, *run.ended[5:]), commits=commits, objects=objects)
    assert rules(late) == set()
    made_late = replace(letter, made_ms=run.ended[6].made_ms + 1)
    assert rules(replace(late, ended=(*run.ended[:4], made_late, *run.ended[5:]))) == {checker.REORDERED}


def test_clocks_may_differ_by_what_is_allowed() -> None:
    run = run_of(10)
    early = tuple(replace(each, at_ms=each.at_ms - 150) for each in committed(run))
    assert rules(replace(run, commits=early)) == {checker.TOO_EARLY}
    assert rules(replace(run, commits=early), tolerance_ms=50) == set()


def test_without_commits_the_rules_about_them_are_not_checked() -> None:
    findings = check(replace(repeated_after_commit(run_of(10), 3), commits=None))
    assert findings.violations == ()
    assert findings.unchecked == checker.ABOUT_COMMITS
    assert rules(replace(without_end(run_of(10), 3), commits=None)) == {checker.LOST}


@given(st.data())
def test_metadata_and_offsets_cover_the_same(data: st.DataObject) -> None:
    """However completion is told, by offsets or beyond them, what was ended before it was told is no violation."""
    run = run_of(12)
    order = data.draw(st.permutations(range(12)))
    ends = {at: ended_at(run.ended[at], 10**6 + place * 10) for place, at in enumerate(order)}
    done: set[int] = set()
    commits = []
    for place, at in enumerate(order):
        done.add(at)
        partition = at % PARTITIONS
        mine = list(range(partition, 12, PARTITIONS))
        base = next((offset for offset in mine if offset not in done), 12)
        beyond = frozenset(offset for offset in mine if offset > base and offset in done)
        commits.append(Commit(UPLOADS, partition, 10**6 + place * 10 + 1, base, beyond))
    incoming = tuple(replace(each, object_id=f"{each.object_id}#{each.offset}") for each in run.incoming)
    ended = tuple(replace(ends[at], object_id=incoming[at].object_id) for at in range(12))
    objects = {record.object_id: {"good": GOOD, "bad": BAD} for record in incoming}
    told = replace(run, incoming=incoming, ended=ended, commits=tuple(commits), objects=objects)
    assert check(told).violations == ()
    # The same but told one step too soon is found, every time.
    soon = tuple(replace(each, at_ms=each.at_ms - 2) for each in commits)
    assert rules(replace(told, commits=soon)) == {checker.TOO_EARLY}
