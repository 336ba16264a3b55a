from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumer.operations.vigil import Vigil
from consumer.stage import UNLIMITED, Deadline, Doing

DEADLINE = Deadline(10.0, "engine.stall_seconds")


def engine(since_s: float, deadline: Deadline = DEADLINE) -> Doing:
    return Doing("engine", "in one round of work", since_s, deadline)


def look_from(vigil: Vigil, doing: Doing, first: int, last: int) -> list[str]:
    """Look once a second; what the last look found."""
    found: list[str] = []
    for second in range(first, last + 1):
        found = [str(each) for each in vigil.look([doing], float(second))]
    return found


def test_work_beyond_its_deadline_is_named_with_its_setting() -> None:
    vigil, round_ = Vigil(5.0), engine(100.0)
    assert look_from(vigil, round_, 100, 110) == []
    assert look_from(vigil, round_, 111, 111) == [
        "thread engine has been in one round of work for 11.0 s, more than 10 s (see engine.stall_seconds)"
    ]


def test_the_next_piece_of_work_begins_anew() -> None:
    vigil = Vigil(5.0)
    for second in range(100, 200):
        assert vigil.look([engine(second - second % 5)], float(second)) == []
    assert vigil.look([], 200.0) == []


def test_what_began_before_the_first_look_counts_from_then() -> None:
    vigil, round_ = Vigil(5.0), engine(0.0)
    assert look_from(vigil, round_, 1000, 1010) == []
    assert look_from(vigil, round_, 1011, 1011) != []


def test_a_frozen_process_is_not_stuck() -> None:
    vigil, round_ = Vigil(5.0), engine(100.0)
    look_from(vigil, round_, 100, 103)
    assert vigil.look([round_], 1000.0) == [], "of the time in which nobody looked, five seconds count"
    assert look_from(vigil, round_, 1001, 1002) == []
    assert look_from(vigil, round_, 1003, 1003) != []


def test_whoever_has_stood_longest_comes_first() -> None:
    vigil = Vigil(5.0)
    works = [engine(104.0), Doing("fetch-0", "at one recording", 100.0, DEADLINE), engine(0.0, UNLIMITED)]
    for second in range(100, 120):
        overdue = vigil.look(works, float(second))
    assert [each.doing.thread for each in overdue] == ["fetch-0", "engine"]


@given(st.lists(st.floats(min_value=0.01, max_value=300.0), max_size=40))
def test_nobody_is_blamed_for_more_time_than_was_seen(steps: list[float]) -> None:
    vigil, now, seen = Vigil(5.0), 50.0, 0.0
    work = engine(50.0, Deadline(-1.0, "always"))
    vigil.look([work], now)
    for step in steps:
        now += step
        seen += min(step, 5.0)
        (overdue,) = vigil.look([work], now)
        assert abs(overdue.stood_s - seen) < 1e-6
