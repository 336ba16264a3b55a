"""When completed offsets are committed. Called by the loop thread only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from consumer.kafka.offsets import OffsetTracker
from consumer.kafka.records import Partition
from consumer.kafka.source import Source
from consumer.pipeline.observer import Observer

URGENT_S = 0.02
"""Least time between commits that cannot wait for their turn."""

REPEAT_S = 0.2
"""Least time between attempts at the last commit."""

POLL_S = 0.02
"""How long each wait for the answer to the last commit may take."""


class Committer:
    """Commits what the tracker says is complete, one request at a time, and tells it what the broker confirmed."""

    def __init__(self, source: Source, tracker: OffsetTracker, observer: Observer, *, interval_s: float) -> None:
        """Nothing is committed yet.

        Args:
            source: commits.
            tracker: knows what is complete.
            observer: told of what is confirmed.
            interval_s: between commits, unless one is urgent.
        """
        self._source = source
        self._tracker = tracker
        self._observer = observer
        self._interval_s = interval_s
        self._last_s = 0.0

    def commit_if_due(self, now: float) -> None:
        """Commit what is complete, if it is time; never blocks."""
        self._commit_after(URGENT_S if self._tracker.urgent else self._interval_s, now, leaving=False)

    def commit_revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit what is complete of these, and wait for the answer: they are about to go to somebody else."""
        self._source.commit(self._tracker.commits(partitions, leaving=True), wait=True)
        self._note()

    def settle(self, timeout_s: float, *, leaving: bool, turned: Callable[[], object]) -> None:
        """Commit what is complete as the last thing before the end; returns when all is confirmed, or after that time.

        While the group comes together anew its coordinator answers no member that has joined already, and then refuses
        what was sent before, so the commit is repeated. It polls meanwhile, without which the member could not take
        part in that; a record that comes is not taken, so its offset is not committed. A commit that blocks would wait
        for a broker that is away until the session is over.

        Args:
            timeout_s: the most it may take.
            leaving: whether the process leaves in order, so that what is in work did it no harm.
            turned: called all the time, to tell that the loop goes on.

        Raises:
            StopError: the client cannot go on.
        """
        deadline = time.monotonic() + timeout_s
        while self._tracker.commits(leaving=leaving) and (now := time.monotonic()) < deadline:
            self._commit_after(REPEAT_S, now, leaving=leaving)
            self._source.poll(POLL_S)
            self._note()
            turned()

    def _commit_after(self, wait_s: float, now: float, *, leaving: bool) -> None:
        """Commit what is complete, if the last attempt is so long ago and was answered."""
        self._note()
        if now >= self._last_s + wait_s and not self._source.committing:
            self._last_s = now
            self._source.commit(self._tracker.commits(leaving=leaving), wait=False)

    def _note(self) -> None:
        confirmed = self._source.confirmed()
        self._tracker.committed(confirmed)
        for (topic, partition), commit in confirmed.items():
            self._observer.committed(topic, partition, commit.offset)
