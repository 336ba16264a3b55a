"""Several contestants measured in turns, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.report import progress


@dataclass(slots=True)
class Rounds:
    """Seconds of each contestant, round by round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        """Note one measurement."""
        self.seconds.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float:
        """The middle of a contestant's rounds."""
        return statistics.median(self.seconds[name])

    def ratio(self, reference: str, ours: str) -> float:
        """How many times as fast as the reference we are: above 1 is faster. Medians of both."""
        return self.median(reference) / self.median(ours)

    def as_json(self) -> dict[str, dict[str, object]]:
        """Median and every round of each contestant."""
        return {
            name: {"median_s": round(self.median(name), 3), "rounds_s": [round(each, 3) for each in seconds]}
            for name, seconds in self.seconds.items()
        }


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    budget_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Let all contestants run once a round.

    The order turns by one each round, so that nobody always runs on the machine that another has warmed.

    Args:
        contestants: what to time, by name.
        rounds: how many at most.
        budget_s: no round begins that would probably end later; the first one always does.
        clock: seconds, monotonic.
    """
    measured = Rounds()
    names = list(contestants)
    began = clock()
    for number in range(rounds):
        elapsed = clock() - began
        if number and elapsed + elapsed / number > budget_s:
            progress(f"the time is over after {number} of {rounds} rounds")
            break
        for name in turned(names, number):
            start = clock()
            contestants[name]()
            seconds = clock() - start
            measured.add(name, seconds)
            progress(f"round {number + 1}: {name} {seconds:.2f} s")
    return measured


def turned(names: Sequence[str], by: int) -> list[str]:
    """The names, beginning with another one."""
    at = by % len(names)
    return [*names[at:], *names[:at]]
