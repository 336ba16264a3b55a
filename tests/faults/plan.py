"""Which fault strikes when, from a seed: the same seed, faults and duration make the same plan. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

FIRST_S = 3.0
"""Before the first fault, so that there is work to disturb."""
QUIET_S = (2.0, 10.0)
"""Between two faults of one track."""
LAST_S = 5.0
"""After the last one, so that the group works on its own again before everything is healed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one time.

    Attributes:
        at_s: when, from the beginning of the run.
        lasts_s: until it is healed.
        fault: its name.
        seed: of what the fault itself draws, such as whom it strikes.
    """

    at_s: float
    lasts_s: float
    fault: str
    seed: int


def make_plan(seed: int, duration_s: float, tracks: Sequence[Mapping[str, tuple[float, float]]]) -> tuple[Strike, ...]:
    """Faults at random, in the order of their times.

    Within a track one fault follows another; faults of different tracks overlap. Each track goes through all its faults
    in a shuffled order before it repeats one, so that a run that is long enough has them all.

    Args:
        seed: any number.
        duration_s: of the run; all faults are healed by then.
        tracks: for each, the least and the longest time a fault lasts, in seconds, by its name.
    """
    strikes: list[Strike] = []
    for number, lengths in enumerate(tracks):
        rng = random.Random(f"{seed}/{number}")
        deck: list[str] = []
        at_s = FIRST_S + rng.uniform(*QUIET_S) * number
        while lengths:
            deck = deck or _shuffled(sorted(lengths), rng)
            fault = deck.pop()
            lasts_s = rng.uniform(*lengths[fault])
            if at_s + lasts_s > duration_s - LAST_S:
                break
            strikes.append(Strike(round(at_s, 2), round(lasts_s, 2), fault, rng.randrange(2**32)))
            at_s += lasts_s + rng.uniform(*QUIET_S)
    return tuple(sorted(strikes, key=lambda strike: strike.at_s))


def _shuffled(values: list[T], rng: random.Random) -> list[T]:
    rng.shuffle(values)
    return values
