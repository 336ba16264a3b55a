"""Who may take room on the spool's disk, and what becomes of a recording that finds none.

1. It waits while another one is on its way to give room back, and while what is not ours crowds the disk.
2. Meanwhile nothing new is fetched, and of those that wait one is tried at a time.
3. When all that have something on the disk wait, it gives back what it has, and is fetched again in its turn.
4. So each comes to be tried alone. Only a try that had the disk for itself from beginning to end is a failed one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal

from consumer.pipeline.work import DECODE, FETCH, Gates, Spooled, Work


class Room:
    """Counts what lies in the spool, and knows who waits for room there. Belongs to the flow's thread."""

    def __init__(self, works: Mapping[Hashable, Work], spool: Spooled, gates: Gates) -> None:
        """Nothing lies there yet.

        Args:
            works: all that are in work; the flow's own.
            spool: where their audio lies.
            gates: how much may lie there.
        """
        self._works = works
        self._spool = spool
        self._gates = gates

    @property
    def bytes(self) -> int:
        """Of the objects that lie there."""
        return sum(work.stored.size for work in self._works.values() if work.stored)

    @property
    def audio_ms(self) -> int:
        """Of the decoded audio that lies there, each track of it counted."""
        return sum(work.audio.tracks_ms for work in self._works.values() if work.audio)

    def open(self, work: Work) -> bool:
        """Whether a recording may be given to its stage now."""
        if work.stage == FETCH:
            if any(_in_its_way(other, work) for other in self._works.values()):
                return False
            # An empty spool has room for one.
            lies = self.bytes
            return lies < self._gates.bytes and not (lies + self.audio_ms > 0 and self._spool.crowded())
        if work.stage == DECODE:
            if work.waits_for_room and any(other.waits_for_room and other.busy for other in self._works.values()):
                return False
            # What was fetched already waits for nothing but this: what is kept free on the disk is meant for it.
            lies = self.audio_ms
            return lies < self._gates.audio_ms and not (lies > 0 and self._spool.crowded())
        return True

    def taken(self, work: Work) -> None:
        """A stage has begun with a recording."""
        work.alone = True
        if work.stage in (FETCH, DECODE):
            for other in self._others(work):
                work.alone = other.alone = False

    def none_for(self, work: Work) -> Literal["wait", "give back", "fail"]:
        """What to do with a recording whose stage found no room."""
        ours = sum(each.spooled_bytes for each in self._works.values())
        others = self._others(work)
        if self._spool.crowded(without=ours) or not all(other.waits_for_room and not other.busy for other in others):
            return "wait"
        if others:
            return "give back"
        return "fail" if work.alone else "wait"

    def _others(self, work: Work) -> list[Work]:
        """Those beside it that have something on the disk, or are about to."""
        return [other for other in self._works.values() if other is not work and other.spools]


def _in_its_way(other: Work, work: Work) -> bool:
    """Whether another recording waits for room that this one should not take by a fetch."""
    return other is not work and other.waits_for_room and (other.spools or not work.waits_for_room)
