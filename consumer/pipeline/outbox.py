"""Records on their way out: those that wait for room in the client's queue, then those that wait for their report."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator
from dataclasses import dataclass

from consumer.errors import StopError, TranscriptTooLarge
from consumer.kafka.records import Ticket
from consumer.kafka.sink import OutgoingRecord, Sink
from consumer.pipeline.observer import Fate, Observer


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a record is about."""

    ticket: Ticket
    fate: Fate


class Outbox:
    """Keeps the order in which records were put in."""

    def __init__(self, sink: Sink, observer: Observer) -> None:
        self._sink = sink
        self._observer = observer
        self._waiting: deque[tuple[Parcel, OutgoingRecord]] = deque()

    def __len__(self) -> int:
        """Records that the client has not taken yet."""
        return len(self._waiting)

    def put(self, parcel: Parcel, record: OutgoingRecord) -> None:
        """Take a record; `send` hands it on."""
        self._waiting.append((parcel, record))

    def send(self) -> None:
        """Hand the client as many records as it takes. Never blocks."""
        while self._waiting:
            parcel, record = self._waiting[0]
            if not self._sink.produce(parcel, record):
                return  # the client's queue is full; intake pauses until all is sent
            self._waiting.popleft()
            self._observer.entered(parcel.ticket, "publish")

    def reports(self) -> Iterator[tuple[Parcel, TranscriptTooLarge | StopError | None]]:
        """What became of records since the last call: None when the broker has it, else why not.

        Raises:
            StopError: the client cannot go on.
        """
        for delivery in self._sink.deliveries():
            assert isinstance(delivery.tag, Parcel)
            yield delivery.tag, delivery.error

    def keep(self, tickets: Container[Ticket]) -> None:
        """Drop what waits under any other ticket: its partition was revoked."""
        self._waiting = deque(each for each in self._waiting if each[0].ticket in tickets)
