"""Stops consumption when too much comes to nothing: the cause is then rarely the recordings. Pure but for its clock.

A circuit breaker (Nygard, Release It!) over a sliding window. Open, it lets nothing in; after a while it is half open
and lets one recording in: with a transcript it closes, else it opens again. What goes to a retry topic has not ended,
and is not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from consumer.pipeline.observer import Fate


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When it opens and how it closes.

    Attributes:
        share: of recordings that ended as dead letters in the window, above which it opens; 1 keeps it closed.
        count: least number of dead letters in the window.
        window_s: length of the window.
        probe_s: how long it stays open before one recording is tried.
    """

    share: float
    count: int
    window_s: float
    probe_s: float


class Breaker:
    """Told how recordings end; asked whether more may begin. Times are seconds of a monotonic clock."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._ends: deque[tuple[float, bool]] = deque()  # when, and whether as a dead letter
        self._dead = 0
        self._opened: float | None = None
        self._probe: Hashable | None = None

    @property
    def reason(self) -> str | None:
        """Why nothing is let in, for a person; None while it is closed."""
        if self._opened is None:
            return None
        return (
            f"{self._dead} of the last {len(self._ends)} recordings ended as dead letters "
            "(limits.dead_letter_share, limits.dead_letter_count); consumption is paused, and a recording is tried "
            f"every {self._limits.probe_s:g} s"
        )

    def ended(self, tag: Hashable, now: float, fate: Fate) -> None:
        """What came of a recording is acknowledged."""
        if self._opened is None:
            if fate != "retry":
                self._count(now, dead_letter=fate == "dead letter")
        elif tag == self._probe:  # others were begun before it opened: they say nothing about now
            self._probe = None
            if fate == "transcript":
                self.close()
            else:
                self._opened = now

    def room(self, now: float) -> int | None:
        """How many recordings may begin: None for any number, 1 to try, else 0."""
        if self._opened is None:
            return None
        return int(self._probe is None and now >= self._opened + self._limits.probe_s)

    def begun(self, tag: Hashable) -> None:
        """A recording begins; while it is half open, that is the one that is tried."""
        if self._opened is not None and self._probe is None:
            self._probe = tag

    def dropped(self, tag: Hashable) -> None:
        """A recording is not ours any more."""
        if tag == self._probe:
            self._probe = None

    def close(self) -> None:
        """Let everything in again; what was counted is forgotten."""
        self._opened = self._probe = None
        self._ends.clear()
        self._dead = 0

    def _count(self, now: float, *, dead_letter: bool) -> None:
        self._ends.append((now, dead_letter))
        self._dead += dead_letter
        while self._ends[0][0] < now - self._limits.window_s:
            self._dead -= self._ends.popleft()[1]
        if self._dead >= self._limits.count and self._dead > self._limits.share * len(self._ends):
            self._opened = now
