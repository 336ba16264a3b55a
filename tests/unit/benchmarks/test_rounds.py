from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from benchmarks.rounds import Rounds, interleave, turned


class Clock:
    """Goes on only when something takes time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, *seconds: float) -> Callable[[], None]:
        each = itertools.cycle(seconds)

        def work() -> None:
            self.now += next(each)

        return work


def test_a_ratio_above_one_is_faster_than_the_reference_by_the_medians() -> None:
    rounds = Rounds({"ours": [1.0, 2.0, 90.0], "theirs": [4.0, 1.0, 5.0]})
    assert rounds.ratio("theirs", "ours") == 2.0


def test_contestants_run_in_turns_and_another_one_begins_each_round() -> None:
    order: list[str] = []
    interleave(
        {name: lambda name=name: order.append(name) for name in "abc"},  # type: ignore[misc]
        rounds=3,
        budget_s=1e9,
    )
    assert "".join(order) == "abcbcacab"


def test_every_round_of_every_contestant_is_kept() -> None:
    clock = Clock()
    measured = interleave({"ours": clock.takes(1, 3), "theirs": clock.takes(2)}, rounds=2, budget_s=100, clock=clock)
    assert measured.seconds == {"ours": [1, 3], "theirs": [2, 2]}
    assert measured.as_json()["ours"] == {"median_s": 2, "rounds_s": [1, 3]}


@pytest.mark.parametrize(("budget_s", "rounds"), [(0, 1), (29, 2), (30, 3), (31, 3)])
def test_no_round_begins_that_would_end_after_the_time(budget_s: float, rounds: int) -> None:
    clock = Clock()
    measured = interleave({"ours": clock.takes(10)}, rounds=3, budget_s=budget_s, clock=clock)
    assert len(measured.seconds["ours"]) == rounds


def test_turning_goes_round() -> None:
    assert turned(["a", "b"], 3) == ["b", "a"]
