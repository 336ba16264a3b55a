from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumer.pipeline.budgets import CROWDED_S, Door, Intake, Limits
from consumer.pipeline.observer import Load

LIMITS = Limits(records=100, bytes=1000, audio_ms=60_000)


def test_any_limit_closes_it() -> None:
    for load in (Load(100, 0, 0), Load(0, 1000, 0), Load(0, 0, 60_000)):
        assert Intake(LIMITS).update(load, 0.0) is Door.HELD
    assert Intake(LIMITS).update(Load(99, 999, 59_999), 0.0) is Door.OPEN


def test_it_opens_again_only_a_quarter_below() -> None:
    intake = Intake(LIMITS)
    assert intake.update(Load(100, 0, 0), 0.0) is Door.HELD
    assert intake.update(Load(76, 0, 0), 0.0) is Door.HELD
    assert intake.update(Load(75, 751, 0), 0.0) is Door.HELD
    assert intake.update(Load(75, 750, 0), 0.0) is Door.OPEN
    assert intake.update(Load(99, 750, 0), 0.0) is Door.OPEN


def test_what_cannot_be_sent_on_closes_it_too() -> None:
    intake = Intake(LIMITS)
    assert intake.update(Load(1, 1, 1), 0.0, blocked=True) is Door.HELD
    assert intake.update(Load(1, 1, 1), 0.0) is Door.OPEN


def test_only_a_house_that_stays_full_pauses_the_partitions() -> None:
    intake = Intake(LIMITS)
    full, half = Load(100, 0, 0), Load(50, 0, 0)
    assert [intake.update(full, now) for now in (5.0, 5.9, 6.0, 60.0)] == [Door.HELD, Door.HELD, Door.SHUT, Door.SHUT]
    assert intake.update(half, 61.0) is Door.OPEN
    assert intake.update(full, 62.0) is Door.HELD


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 10), st.floats(0, 2), st.booleans())))
def test_the_smallest_limits_never_lock_up(limit: int, loads: list[tuple[int, float, bool]]) -> None:
    intake, now = Intake(Limits(limit, limit, limit)), 0.0
    for load, pause, blocked in loads:
        now += pause
        intake.update(Load(load, load, load), now, blocked=blocked)
    assert intake.update(Load(0, 0, 0), now) is Door.OPEN


def test_a_disk_that_stays_full_is_told_and_one_that_passes_is_not() -> None:
    intake = Intake(Limits(1, 1, 1))
    assert intake.crowded_for_long(0.0, crowded=True) is None
    assert intake.crowded_for_long(CROWDED_S - 1, crowded=True) is None
    assert intake.crowded_for_long(CROWDED_S - 0.5, crowded=False) is None
    assert intake.crowded_for_long(CROWDED_S, crowded=True) is None
    reason = intake.crowded_for_long(2 * CROWDED_S, crowded=True)
    assert reason is not None
    assert "limits.spool_free_bytes" in reason
    assert intake.crowded_for_long(3 * CROWDED_S, crowded=False) is None
