"""For what share of the last minute somebody was busy."""

from __future__ import annotations

import threading
from collections import deque

WINDOW_S = 60.0


class BusyShare:
    """Told by one thread when it becomes busy or idle, asked by others. Times are monotonic seconds."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._lock = threading.Lock()  # guards all below
        self._since: float | None = None
        self._spells: deque[tuple[float, float]] = deque()

    def told(self, busy: bool, now: float) -> None:
        """It is busy, or idle, from now on; to be told so again changes nothing."""
        with self._lock:
            if busy:
                self._since = now if self._since is None else self._since
            elif self._since is not None:
                self._spells.append((self._since, now))
                self._since = None
            while self._spells and self._spells[0][1] <= now - self._window_s:
                self._spells.popleft()

    def share(self, now: float) -> float:
        """From 0 to 1; a spell that goes on counts until now."""
        begin = now - self._window_s
        with self._lock:
            spells = [*self._spells, *([(self._since, now)] if self._since is not None else [])]
        return sum(max(0.0, end - max(start, begin)) for start, end in spells) / self._window_s
