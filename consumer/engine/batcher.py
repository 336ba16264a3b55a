"""Which segments go into the next batch: pure bookkeeping, no model, no clock.

Segments of all recordings in work are packed together. A batch is as wide as its longest segment, so what it costs is
``longest × number``, padding included; that product stays within the bound. Fairness is by turns, not by length: every
batch is built around one *anchor* segment, and the recordings take turns to give it. One that has not had a turn yet
goes before those that had (a short clip does not wait for a long recording's queue), but never twice in a row (a stream
of short clips does not starve the long recording). What is left of the bound is filled by all recordings in the same
order, one segment each a round, as far as their lengths fit the anchor's.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

CLOSE_ENOUGH = 0.8
"""A segment joins a batch when it has at least this share of the anchor's length: a fifth of padding at most."""
SHORT_MS = 500
"""… or when it is at most this much shorter, in milliseconds: padding of very short segments costs next to nothing."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A stretch of speech to recognise.

    Attributes:
        length_ms: its duration, more than 0.
        recording: key of the recording it belongs to.
        track: index of the recording's track.
        index: its place among the track's segments, in time.
    """

    length_ms: int
    recording: Hashable = field(compare=False)
    track: int = 0
    index: int = 0


class Batcher:
    """Segments that wait for the recogniser.

    Args:
        limit_ms: most milliseconds in a batch, padding included. A single segment that is longer is a batch by itself.
    """

    def __init__(self, limit_ms: int) -> None:
        self.limit_ms = limit_ms
        self.waiting_ms = 0
        """Speech that waits, in milliseconds."""
        self._queues: dict[Hashable, list[Segment]] = {}  # by length, ascending
        self._fresh: deque[Hashable] = deque()  # have not given an anchor yet, oldest first
        self._turned: deque[Hashable] = deque()  # have; the next to give one first
        self._seen: set[Hashable] = set()
        self._last_was_fresh = False

    def __len__(self) -> int:
        """How many segments wait."""
        return sum(len(queue) for queue in self._queues.values())

    def add(self, segments: Iterable[Segment]) -> None:
        """Take segments up; those of one recording may come in several calls."""
        for segment in segments:
            queue = self._queues.get(segment.recording)
            if queue is None:
                queue = self._queues[segment.recording] = []
                (self._turned if segment.recording in self._seen else self._fresh).append(segment.recording)
            insort(queue, segment)
            self.waiting_ms += segment.length_ms

    def discard(self, recording: Hashable) -> None:
        """Forget a recording: it has ended, or its result is not wanted any more."""
        self._seen.discard(recording)
        queue = self._queues.pop(recording, None)
        if queue is not None:
            self.waiting_ms -= sum(segment.length_ms for segment in queue)
            self._leave(recording)

    def take(self) -> list[Segment]:
        """The next batch, longest first; empty when nothing waits."""
        anchor_of = self._next_turn()
        if anchor_of is None:
            return []
        anchor = self._pop(anchor_of, len(self._queues[anchor_of]) - 1)
        batch = [anchor]
        room = self.limit_ms // anchor.length_ms
        floor_ms = min(int(anchor.length_ms * CLOSE_ENOUGH), anchor.length_ms - SHORT_MS)
        offering = [anchor_of, *self._fresh, *self._turned]
        offering = list(dict.fromkeys(offering[1:] + offering[:1]))  # the anchor's recording has had its share
        while offering and len(batch) < room:
            still_offering = []
            for recording in offering:
                if len(batch) >= room:
                    break
                best = self._longest_within(recording, floor_ms, anchor.length_ms)
                if best is not None:
                    batch.append(self._pop(recording, best))
                    still_offering.append(recording)
            offering = still_offering
        return sorted(batch, key=lambda segment: -segment.length_ms)

    def _next_turn(self) -> Hashable | None:
        """Whose turn it is; that recording is moved behind the others."""
        if self._fresh and not (self._last_was_fresh and self._turned):
            self._last_was_fresh = True
            recording = self._fresh.popleft()
        elif self._turned:
            self._last_was_fresh = False
            recording = self._turned.popleft()
        else:
            return None
        self._turned.append(recording)
        self._seen.add(recording)
        return recording

    def _longest_within(self, recording: Hashable, floor_ms: int, ceiling_ms: int) -> int | None:
        queue = self._queues.get(recording)
        if not queue:
            return None
        at = bisect_right(queue, ceiling_ms, key=lambda segment: segment.length_ms) - 1
        return at if at >= 0 and queue[at].length_ms >= floor_ms else None

    def _pop(self, recording: Hashable, at: int) -> Segment:
        queue = self._queues[recording]
        segment = queue.pop(at)
        self.waiting_ms -= segment.length_ms
        if not queue:
            del self._queues[recording]
            self._leave(recording)
        return segment

    def _leave(self, recording: Hashable) -> None:
        for line in (self._fresh, self._turned):
            if recording in line:
                line.remove(recording)
