"""The least a Kafka program can do with a record: read it, write another, wait for the delivery report, commit."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, Message, Producer

READ_TIMEOUT_S = 20.0


class BareLoop:
    """A consume-produce loop in a few lines of confluent-kafka, as careful with records as the service is.

    Args:
        broker: its address.
        group: a consumer group without history.
        source, target: topics.
        value: what to write for every record, as large as a transcript.
        at_a_time: records that are written before their delivery reports are waited for.
    """

    def __init__(self, broker: str, group: str, source: str, target: str, value: bytes, *, at_a_time: int) -> None:
        self._at_a_time = at_a_time
        self._target = target
        self._value = value
        self._undelivered = 0
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "enable.idempotence": True,
                "acks": "all",
                # Nobody waits for company who sends one at a time.
                "linger.ms": 5 if at_a_time > 1 else 0,
                "log_level": 0,
                "compression.type": "lz4",
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._consumer.subscribe([source])

    def run(self, count: int) -> float:
        """Seconds for so many records, from the first that arrived to the last commit."""
        first = self._read(1)
        began = time.perf_counter()
        done = self._handle(first)
        while done < count:
            done += self._handle(self._read(min(self._at_a_time, count - done)))
        seconds = time.perf_counter() - began
        self._consumer.close()
        return seconds

    def _read(self, most: int) -> Sequence[Message]:
        """Records that are there, at least one."""
        records: list[Message] = []
        while len(records) < most:
            record = self._consumer.poll(0.0 if records else READ_TIMEOUT_S)
            if record is None:
                break
            if record.error() is not None:
                raise KafkaException(record.error())
            records.append(record)
        if not records:
            raise RuntimeError("the topic holds fewer records than it should")
        return records

    def _handle(self, records: Sequence[Message]) -> int:
        for record in records:
            self._undelivered += 1
            self._producer.produce(self._target, self._value, record.key(), on_delivery=self._delivered)
        while self._undelivered:
            self._producer.poll(1.0)
        self._consumer.commit(message=records[-1], asynchronous=True)
        return len(records)

    def _delivered(self, error: object, _: Message) -> None:
        if error is not None:
            raise RuntimeError(f"not delivered: {error}")
        self._undelivered -= 1
