"""What replays and redrives have done, kept in a compacted topic: the last value of each key counts.

Committed offsets would not do: brokers forget those of an idle group (``offsets.retention.minutes``), and a selection
leaves gaps that outgrow their metadata.

Keys are text, values JSON objects; a null value forgets a key::

    redriven/<topic>/<partition>/<offset>   a dead letter was sent again: {"timestamp_ms": of its record}
    redrive/<topic>                         a redrive of that topic is at work, or was killed: where its copies may lie
    replay/<id>                             a replay: what it selects, its fixed ends, in the end what was sent and gone
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from consumer.errors import BrokerUnavailable
from consumer.kafka.admin import create_topics
from consumer.kafka.publisher import Publisher
from consumer.kafka.records import Partition
from consumer.kafka.sink import OutgoingRecord
from consumer.kafka.spans import Span, SpanReader
from consumer.settings import KafkaSettings, TopicSettings

Value = dict[str, Any]


def journal_topic(topics: TopicSettings) -> str:
    """The name of the journal of a service."""
    return f"{topics.uploads}.journal"


def read_journal(reader: SpanReader, topic: str) -> dict[str, Value]:
    """The last value of each key; empty when the topic does not exist.

    Args:
        reader: of the broker.
        topic: the journal.

    Raises:
        StopError: the broker cannot be read.
    """
    if topic not in reader.partitions:
        return {}
    entries: dict[str, Value] = {}
    for record in reader.read(reader.whole(topic)):
        key = (record.key or b"").decode(errors="replace")
        entries.pop(key, None)
        value = _object(record.value)
        if value is not None:
            entries[key] = value
    return entries


def ensure_journal(settings: KafkaSettings, reader: SpanReader, topic: str) -> None:
    """Create the journal if it does not exist.

    Raises:
        BrokerUnavailable: the broker refused; says how to create it by hand.
    """
    if topic in reader.partitions:
        return
    try:
        create_topics(settings, [topic], partitions=1, config={"cleanup.policy": "compact"})
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"{error}; it remembers what was sent again: create it with one partition and cleanup.policy=compact"
        ) from error


class Journal:
    """Writes entries; they are safe once the publisher is finished."""

    def __init__(self, publisher: Publisher[Any], topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    def note(self, key: str, value: Value | None) -> None:
        """Remember a value of a key, or forget the key.

        Args:
            key: as at the head of this module.
            value: a JSON object; None forgets.
        """
        encoded = None if value is None else orjson.dumps(value)
        self._publisher.note(OutgoingRecord(self._topic, key.encode(), encoded, ()))


def spans_as_json(spans: Mapping[Partition, Span]) -> list[list[Any]]:
    """Spans as an entry has them: topic, partition, start, end of each."""
    return [[*partition, span.start, span.end] for partition, span in sorted(spans.items())]


def spans_from_json(written: list[list[Any]]) -> dict[Partition, Span]:
    """The inverse of `spans_as_json`."""
    return {(topic, partition): Span(start, end) for topic, partition, start, end in written}


def _object(value: bytes | None) -> Value | None:
    try:
        read = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, dict) else None
