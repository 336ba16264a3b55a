"""When to stop taking records, and when to go on: limits with hysteresis. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from consumer.pipeline.observer import Load


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be in work."""

    records: int
    bytes: int
    audio_ms: int


PATIENCE_S = 1.0
"""How long a full house only holds the polling before partitions are paused. Far below any ``max.poll.interval.ms``."""

CROWDED_S = 10.0
"""How long the disk may be full before that is said: recordings in work come and go."""


class Door(Enum):
    """Whether records are taken."""

    OPEN = "open"
    HELD = "held"
    """Not now, but perhaps at once: do not poll."""
    SHUT = "shut"
    """Not soon: pause the partitions, and poll on."""


class Intake:
    """Closes when a limit is reached, opens when all are a quarter below theirs.

    A pause throws away what the client has prefetched, and after it the broker is asked anew. So a house that is full
    for a moment only holds the polling, and the gap keeps one that stays full from being paused with every record.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._full_since: float | None = None
        self._crowded_since: float | None = None

    def crowded_for_long(self, now: float, *, crowded: bool) -> str | None:
        """Why nothing is taken in, for a person, when the disk is the reason and it does not pass by itself.

        Args:
            now: seconds of a monotonic clock.
            crowded: whether the disk has too little room.
        """
        if not crowded:
            self._crowded_since = None
        elif self._crowded_since is None:
            self._crowded_since = now
        if self._crowded_since is None or now - self._crowded_since < CROWDED_S:
            return None
        return (
            "the disk of limits.spool_dir has less room than limits.spool_free_bytes; consumption is paused until "
            "it has more: recordings in work give theirs back when they end; if it stays, remove what is not ours from "
            "it, give it more, or lower the limit"
        )

    def update(self, load: Load, now: float, *, blocked: bool = False) -> Door:
        """Whether records may be taken.

        Args:
            load: what is in work now.
            now: seconds of a monotonic clock.
            blocked: whether anything but these limits forbids it.
        """
        pairs = (
            (load.records, self._limits.records),
            (load.bytes, self._limits.bytes),
            (load.audio_ms, self._limits.audio_ms),
        )
        if self._full_since is None:
            fits = all(value < limit for value, limit in pairs)
        else:
            fits = all(value <= limit * 3 // 4 for value, limit in pairs)
        if fits and not blocked:
            self._full_since = None
            return Door.OPEN
        if self._full_since is None:
            self._full_since = now
        return Door.HELD if now - self._full_since < PATIENCE_S else Door.SHUT
