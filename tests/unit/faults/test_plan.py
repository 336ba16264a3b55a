from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.plan import FIRST_S, LAST_S, make_plan

TRACKS = ({"kill": (1.0, 5.0), "storm": (10.0, 20.0)}, {"slow": (5.0, 15.0)})


@given(seed=st.integers(), duration=st.floats(min_value=0, max_value=2000))
def test_a_plan_fits_its_run_and_no_track_has_two_faults_at_once(seed: int, duration: float) -> None:
    plan = make_plan(seed, duration, TRACKS)
    assert list(plan) == sorted(plan, key=lambda strike: strike.at_s)
    for lengths in TRACKS:
        track = [strike for strike in plan if strike.fault in lengths]
        for strike in track:
            least, longest = lengths[strike.fault]
            assert least - 0.01 <= strike.lasts_s <= longest + 0.01
            assert strike.at_s >= FIRST_S
            assert strike.at_s + strike.lasts_s <= duration - LAST_S + 0.02
        for one, following in pairwise(track):
            assert one.at_s + one.lasts_s < following.at_s


def test_the_same_seed_makes_the_same_plan_and_another_another() -> None:
    assert make_plan(7, 600, TRACKS) == make_plan(7, 600, TRACKS)
    assert make_plan(7, 600, TRACKS) != make_plan(8, 600, TRACKS)


def test_a_run_that_is_long_enough_has_every_fault() -> None:
    faults = {strike.fault for strike in make_plan(1, 120, TRACKS)}
    assert faults == {"kill", "storm", "slow"}


def test_a_track_without_faults_is_empty() -> None:
    assert make_plan(1, 600, ({}, {})) == ()
