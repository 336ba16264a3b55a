"""When to stop taking records, and when to go on: limits with hysteresis. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.pipeline.observer import Load


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be in work."""

    records: int
    bytes: int
    audio_ms: int


class Intake:
    """Open or closed. Closes when a limit is reached, opens when all are a quarter below theirs.

    The gap keeps partitions from being paused and resumed with every record, which throws prefetched records away.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open = True

    def update(self, load: Load) -> bool:
        """Whether records may be taken, given what is in work now."""
        pairs = (
            (load.records, self._limits.records),
            (load.bytes, self._limits.bytes),
            (load.audio_ms, self._limits.audio_ms),
        )
        if self._open:
            self._open = all(value < limit for value, limit in pairs)
        else:
            self._open = all(value <= limit * 3 // 4 for value, limit in pairs)
        return self._open
