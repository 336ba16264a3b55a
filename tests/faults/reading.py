"""Topics from their beginning, as evidence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from consumer.events.deadletter import DeadLetter
from consumer.events.headers import ATTEMPT, text
from consumer.kafka.records import Record
from consumer.kafka.source import record_of
from tests.faults.evidence import Ended, Incoming

QUIET_S = 30.0
"""Within this a broker that is well answers; a topic that cannot be read to its end is an error."""
UPLOAD = "upload"
"""Entry of an upload event's metadata that names the upload; transcripts carry it on."""


def read_topic(properties: Mapping[str, Any], topic: str) -> list[Record]:
    """All records of a topic, by partition in order, without a trace in any group.

    Args:
        properties: of the client, with bootstrap.servers.
        topic: that exists.

    Raises:
        KafkaException: it may not be read.
        RuntimeError: its end was not reached.
    """
    consumer = Consumer(
        {**properties, "group.id": "fault-suite-reader", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    try:
        known = consumer.list_topics(topic, timeout=QUIET_S).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        numbers = known.partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
        open_partitions = set(numbers)
        records: list[Record] = []
        while open_partitions:
            message = consumer.poll(QUIET_S)
            if message is None:
                raise RuntimeError(f"{topic}: no end of partitions {sorted(open_partitions)} within {QUIET_S:.0f} s")
            error = message.error()
            if error is None:
                records.append(record_of(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            elif not error.retriable():
                raise KafkaException(error)
    finally:
        consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def incoming_of(records: Iterable[Record]) -> Iterator[Incoming]:
    """Records that announce a recording; the others (a bucket's test event) ask for no work."""
    for record in records:
        if (names := _names(record.value)) is not None:
            recording, object_id = names
            attempt = int(text(record.headers, ATTEMPT) or 0)
            place = record.topic, record.partition, record.offset
            yield Incoming(*place, record.timestamp_ms, recording, object_id, attempt)


def transcripts_of(records: Iterable[Record]) -> Iterator[Ended]:
    """Records of the transcript topic."""
    for record in records:
        value: dict[str, Any] = json.loads(record.value or b"{}")
        source = value["source"]
        timing = value["timing"]
        told = (text(record.headers, "ce_time") or "").replace("Z", "+00:00")
        made_ms = round(datetime.fromisoformat(told).timestamp() * 1000)
        yield Ended(
            recording=value["metadata"].get(UPLOAD, source["key"]),
            object_id=f"{source['bucket']}/{source['key']}",
            at_ms=record.timestamp_ms,
            made_ms=made_ms,
            begun_ms=made_ms - (timing["total_ms"] - timing["queued_ms"]),
            status=value["status"],
            member=text(record.headers, "ce_source"),
            etag=source["etag"],
            text=value["text"],
            transcript_id=value["id"],
        )


def dead_letters_of(records: Iterable[Record]) -> Iterator[Ended]:
    """Records of the dead-letter topic."""
    for record in records:
        letter = DeadLetter.from_headers(record.headers)
        recording, object_id = _names(record.value) or (f"{letter.topic}/{letter.partition}/{letter.offset}", "")
        yield Ended(
            recording=recording,
            object_id=object_id,
            at_ms=record.timestamp_ms,
            made_ms=letter.timestamp_ms or record.timestamp_ms,
            begun_ms=letter.timestamp_ms or record.timestamp_ms,
            status="dead-letter",
            error_class=letter.code or "",
            retryable=bool(letter.retryable),
        )


def _names(value: bytes | None) -> tuple[str, str] | None:
    """Recording and object an event announces: by the name we gave it, else by its key, which is used once."""
    event: dict[str, Any] = json.loads(value or b"{}")
    if "key" in event:
        return event["metadata"][UPLOAD], f"{event['bucket']}/{event['key']}"
    for record in event.get("Records", ()):
        key = record["s3"]["object"]["key"]
        return key, f"{record['s3']['bucket']['name']}/{key}"
    return None
