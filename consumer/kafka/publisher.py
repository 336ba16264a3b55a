"""Sending many records from a command: bounded, at a rate if wanted, and every one acknowledged."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Generic, TypeVar, cast

from consumer.kafka.sink import MAX_MESSAGE_BYTES, OutgoingRecord, Sink
from consumer.settings import KafkaSettings

IN_FLIGHT = 500
"""Records that may wait for their acknowledgement: what may be sent again when the process is killed."""

WAIT_S = 0.05
"""How long to wait for acknowledgements at a time."""

CLOSE_S = 10.0
"""How long an interrupted command waits for what it has sent."""


T = TypeVar("T", bound=Hashable)


class Publisher(Generic[T]):
    """Sends records with tags, and tells the tags of those that the broker has."""

    def __init__(self, settings: KafkaSettings, *, rate: float | None = None) -> None:
        """Set up the client; it connects by itself.

        Args:
            settings: of the broker.
            rate: most records a second; None for no bound.
        """
        self._sink = Sink(settings, MAX_MESSAGE_BYTES)
        self._pause_s = 0.0 if rate is None else 1 / rate
        self._due = time.monotonic()
        self._waiting = 0

    def put(self, tag: T, record: OutgoingRecord) -> list[T]:
        """Send a record, once its turn has come; returns tags acknowledged meanwhile.

        Args:
            tag: names it; a hashable value, and not None.
            record: to send.

        Raises:
            TingxieError: the broker refused a record.
        """
        acknowledged: list[T] = []
        while (ahead := self._due - time.monotonic()) > 0:
            acknowledged += self._collect(0)
            time.sleep(min(ahead, WAIT_S))
        # Time that was lost is not made up for: a rate is a promise to those who share the service.
        self._due = max(self._due, time.monotonic() - self._pause_s) + self._pause_s
        while self._waiting >= IN_FLIGHT or not self._sink.produce(tag, record):
            acknowledged += self._collect(WAIT_S)
        self._waiting += 1
        return acknowledged + self._collect(0)

    def note(self, record: OutgoingRecord) -> None:
        """Send a record about others: outside of the rate, and its acknowledgement is only waited for at the end."""
        while not self._sink.produce(None, record):
            self._sink.flush(WAIT_S)
        self._waiting += 1

    def finish(self) -> list[T]:
        """Wait until everything is acknowledged; returns the tags. Raises as `put` does."""
        acknowledged: list[T] = []
        while self._waiting:
            acknowledged += self._collect(WAIT_S)
        return acknowledged

    def settle(self) -> list[T]:
        """Like `finish`, for `CLOSE_S` at most: what an interrupted command still learns."""
        self._sink.flush(CLOSE_S)
        return self._collect(0)

    def close(self) -> None:
        """Forget what was not sent."""
        self._sink.close()

    def _collect(self, wait_s: float) -> list[T]:
        if wait_s:
            self._sink.flush(wait_s)
        deliveries = self._sink.deliveries()
        self._waiting -= len(deliveries)
        for delivery in deliveries:
            if delivery.error is not None:
                raise delivery.error
        return [cast("T", delivery.tag) for delivery in deliveries if delivery.tag is not None]
