"""Which segments go into the next batch, and when: pure bookkeeping, no model, no clock.

Segments of all recordings in work are packed together. A batch is as wide as its longest segment, so what it costs is
``longest × number``, padding included; that product stays within the bound. Fairness is by turns, not by length: every
batch is built around one *anchor*, the oldest segment of the recording whose turn it is. A recording that has not had a
turn yet goes before those that had (a short clip does not wait for a long recording's queue), but never twice in a row
(a stream of short clips does not starve the long recording). What is left of the bound is filled by all recordings in
the same order, one segment each a round, the oldest that is about as long as the anchor.

A short clip is there for its latency: with its first turn all of it is in one batch, whatever the lengths, and that
batch is a short one, too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

CLOSE_ENOUGH = 0.9
"""A segment joins a batch when it and the anchor differ by at most this factor: on average, a tenth is padding."""
SHORT_MS = 400
"""… or by this much, in milliseconds: padding of very short segments costs next to nothing."""
CLIP_MS = 10_000
"""A recording with no more speech than this is a short clip."""
CLIP_BATCH_MS = 16_000
"""A short clip's batch is filled up to this, padding included. The more, the better is the device used; but who comes
next waits for it as well."""
RECOVERY_S = 60.0
"""After so long without running out of memory, the bound doubles again, until it is what it was."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech to recognise.

    Attributes:
        length_ms: its duration, more than 0.
        recording: key of the recording it belongs to.
        track: index of the recording's track.
        index: its place among the track's segments, in time.
    """

    length_ms: int
    recording: Hashable
    track: int = 0
    index: int = 0


class _Waiting(NamedTuple):
    since: float
    segment: Segment


class AdaptiveBound:
    """The most milliseconds in a batch, padding included: halved where the device had no room, restored step by step.

    Args:
        most_ms: what it is as long as nothing fails.
    """

    def __init__(self, most_ms: int) -> None:
        self.most_ms = most_ms
        self._now_ms = most_ms
        self._until = math.inf

    def at(self, now: float) -> int:
        """The bound at the time ``now``, in seconds of any monotonic clock."""
        while now >= self._until and self._now_ms < self.most_ms:
            self._now_ms = min(2 * self._now_ms, self.most_ms)
            self._until += RECOVERY_S
        return self._now_ms

    def exceeded(self, cost_ms: int, now: float) -> None:
        """A batch of ``cost_ms`` did not fit: take half of it from now on."""
        self._now_ms = max(1, min(self.at(now), cost_ms // 2))
        self._until = now + RECOVERY_S


class Batcher:
    """Segments that wait for the recogniser. Times are seconds of any monotonic clock.

    Args:
        limit_ms: most milliseconds in a batch, padding included. A single segment that is longer is a batch by itself.
        patience_s: how long a segment may wait for others to fill its batch.
    """

    def __init__(self, limit_ms: int, patience_s: float = 0.0) -> None:
        self.bound = AdaptiveBound(limit_ms)
        self.waiting_ms = 0
        """Speech that waits, in milliseconds."""
        self._patience_s = patience_s
        self._queues: dict[Hashable, list[_Waiting]] = {}  # oldest first
        self._fresh: deque[Hashable] = deque()  # have not given an anchor yet, oldest first
        self._turned: deque[Hashable] = deque()  # have; the next to give one first
        self._seen: set[Hashable] = set()
        self._last_was_fresh = False

    def __len__(self) -> int:
        """How many segments wait."""
        return sum(len(queue) for queue in self._queues.values())

    def add(self, segments: Iterable[Segment], now: float = 0.0) -> None:
        """Take segments up, in the order of time; those of one recording may come in several calls."""
        for segment in segments:
            queue = self._queues.get(segment.recording)
            if queue is None:
                queue = self._queues[segment.recording] = []
                (self._turned if segment.recording in self._seen else self._fresh).append(segment.recording)
            queue.append(_Waiting(now, segment))
            self.waiting_ms += segment.length_ms

    def discard(self, recording: Hashable) -> None:
        """Forget a recording: it has ended, or its result is not wanted any more."""
        self._seen.discard(recording)
        queue = self._queues.get(recording)
        if queue is not None:
            self.waiting_ms -= sum(waiting.segment.length_ms for waiting in queue)
            self._leave(recording)

    def due(self, now: float) -> float:
        """When the next batch should be taken: ``now`` or earlier if it is full or somebody has waited long enough.

        Infinity when nothing waits.
        """
        if not self._queues:
            return math.inf
        if self.waiting_ms >= self.bound.at(now):
            return now
        return min(queue[0].since for queue in self._queues.values()) + self._patience_s

    def take(self, now: float = 0.0) -> list[Segment]:
        """The next batch, longest first, whether it is due or not; empty when nothing waits."""
        if not self._queues:
            return []
        limit_ms = self.bound.at(now)
        whose, is_first = self._next_turn()
        batch = [self._pop(whose, 0)]
        if is_first and batch[0].length_ms + self._waiting_ms_of(whose) <= CLIP_MS:
            batch += self._rest_of_clip(whose, batch[0], limit_ms)
            limit_ms = min(limit_ms, CLIP_BATCH_MS)
        anchor_ms = longest_ms = max(segment.length_ms for segment in batch)
        offering = [recording for recording in (*self._fresh, *self._turned) if recording != whose]
        offering.append(whose)  # who gave the anchor has had a share
        while offering:
            still_offering = []
            for recording in offering:
                widest_ms = limit_ms // (len(batch) + 1)
                found = self._oldest_like(recording, anchor_ms, widest_ms) if longest_ms <= widest_ms else None
                if found is not None:
                    batch.append(self._pop(recording, found))
                    longest_ms = max(longest_ms, batch[-1].length_ms)
                    still_offering.append(recording)
            offering = still_offering
        return sorted(batch, key=lambda segment: -segment.length_ms)

    def _next_turn(self) -> tuple[Hashable, bool]:
        """Whose turn it is, and whether it is the first; that recording is moved behind the others."""
        self._last_was_fresh = bool(self._fresh) and not (self._last_was_fresh and self._turned)
        recording = (self._fresh if self._last_was_fresh else self._turned).popleft()
        self._turned.append(recording)
        self._seen.add(recording)
        return recording, self._last_was_fresh

    def _waiting_ms_of(self, recording: Hashable) -> int:
        return sum(waiting.segment.length_ms for waiting in self._queues.get(recording, ()))

    def _rest_of_clip(self, recording: Hashable, first: Segment, limit_ms: int) -> list[Segment]:
        """What follows the first segment of a short clip, as far as the bound admits."""
        rest: list[Segment] = []
        longest_ms = first.length_ms
        while recording in self._queues:
            longest_ms = max(longest_ms, self._queues[recording][0].segment.length_ms)
            if (len(rest) + 2) * longest_ms > limit_ms:
                break
            rest.append(self._pop(recording, 0))
        return rest

    def _oldest_like(self, recording: Hashable, anchor_ms: int, widest_ms: int) -> int | None:
        """Where the oldest segment is that is about as long as the anchor and no longer than ``widest_ms``."""
        least_ms, most_ms = about(anchor_ms)
        most_ms = min(most_ms, widest_ms)
        queue = self._queues.get(recording, ())
        return next((at for at, (_, like) in enumerate(queue) if least_ms <= like.length_ms <= most_ms), None)

    def _pop(self, recording: Hashable, at: int) -> Segment:
        queue = self._queues[recording]
        segment = queue.pop(at).segment
        self.waiting_ms -= segment.length_ms
        if not queue:
            self._leave(recording)
        return segment

    def _leave(self, recording: Hashable) -> None:
        del self._queues[recording]
        for line in (self._fresh, self._turned):
            if recording in line:
                line.remove(recording)


def about(length_ms: int) -> tuple[int, int]:
    """The least and the most milliseconds of what may share a batch with an anchor of ``length_ms``."""
    least = min(length_ms * CLOSE_ENOUGH, length_ms - SHORT_MS)
    most = max(length_ms / CLOSE_ENOUGH, length_ms + SHORT_MS)
    return math.ceil(least), math.floor(most)
