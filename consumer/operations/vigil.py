"""How long each thread has been at what it does: no clock, no thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consumer.stage import Doing


@dataclass(frozen=True, slots=True)
class Overdue:
    """A thread that is stuck.

    Attributes:
        doing: what it does.
        stood_s: for how long it was seen to do it.
    """

    doing: Doing
    stood_s: float

    def __str__(self) -> str:
        """One line that names the thread, the times and the setting."""
        deadline = self.doing.deadline
        return (
            f"thread {self.doing.thread} has been {self.doing.what} for {self.stood_s:.1f} s, "
            f"more than {deadline.seconds:g} s (see {deadline.setting})"
        )


class Vigil:
    """Counts time only while it looks on.

    When a whole process is frozen (a stopped container, a suspended machine), nobody in it is stuck: of a longer time
    between two looks only ``most_s`` counts.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._looked_s: float | None = None
        self._stood_s: dict[tuple[str, float], float] = {}

    def look(self, doings: Iterable[Doing], now: float) -> list[Overdue]:
        """Who is beyond a deadline, longest first.

        Args:
            doings: what all threads do now.
            now: monotonic seconds.
        """
        passed_s = 0.0 if self._looked_s is None else min(now - self._looked_s, self._most_s)
        self._looked_s = now
        before, self._stood_s = self._stood_s, {}
        overdue = []
        for doing in doings:
            work = (doing.thread, doing.since_s)
            stood_s = before.get(work, 0.0) + min(passed_s, max(0.0, now - doing.since_s))
            self._stood_s[work] = stood_s
            if stood_s > doing.deadline.seconds:
                overdue.append(Overdue(doing, stood_s))
        return sorted(overdue, key=lambda each: -each.stood_s)
