from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumer.pipeline.budgets import Intake, Limits
from consumer.pipeline.observer import Load

LIMITS = Limits(records=100, bytes=1000, audio_ms=60_000)


def test_any_limit_closes_it() -> None:
    for load in (Load(100, 0, 0), Load(0, 1000, 0), Load(0, 0, 60_000)):
        assert not Intake(LIMITS).update(load)
    assert Intake(LIMITS).update(Load(99, 999, 59_999))


def test_it_opens_again_only_a_quarter_below() -> None:
    intake = Intake(LIMITS)
    assert not intake.update(Load(100, 0, 0))
    assert not intake.update(Load(76, 0, 0))
    assert not intake.update(Load(75, 751, 0))
    assert intake.update(Load(75, 750, 0))
    assert intake.update(Load(99, 750, 0))


@given(st.integers(1, 5), st.lists(st.integers(0, 10)))
def test_the_smallest_limits_never_lock_up(limit: int, loads: list[int]) -> None:
    intake = Intake(Limits(limit, limit, limit))
    for load in loads:
        intake.update(Load(load, load, load))
    assert intake.update(Load(0, 0, 0))
