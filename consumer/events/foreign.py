"""Dead letters of others: the headers of Spring for Apache Kafka and of Kafka Connect. Pure.

Spring writes partition and offset as big-endian integers of 4 and 8 bytes, Connect as decimal text. Text of digits is
never such an integer of a real partition or offset: its first byte alone would make it too large.
"""

from __future__ import annotations

from consumer.events.headers import Headers, last, number, text

Names = tuple[str, ...]
"""Header names that tell the same; the first that is there counts."""

TOPIC: Names = ("kafka_dlt-original-topic", "kafka_original-topic", "__connect.errors.topic")
PARTITION: Names = ("kafka_dlt-original-partition", "kafka_original-partition", "__connect.errors.partition")
OFFSET: Names = ("kafka_dlt-original-offset", "kafka_original-offset", "__connect.errors.offset")
GROUP: Names = ("kafka_dlt-original-consumer-group", "kafka_original-consumer-group")
# Spring wraps what a listener raises: the cause says more.
CLASS: Names = (
    "kafka_dlt-exception-cause-fqcn",
    "kafka_dlt-exception-fqcn",
    "kafka_exception-cause-fqcn",
    "kafka_exception-fqcn",
    "__connect.errors.exception.class.name",
)
STAGE: Names = ("__connect.errors.stage",)
MESSAGE: Names = ("kafka_dlt-exception-message", "kafka_exception-message", "__connect.errors.exception.message")

PREFIXES: Names = ("kafka_dlt-", "kafka_original-", "kafka_exception-", "retry_topic-", "__connect.errors.")
"""What the names of headers begin with that tell of a failure."""

_INTEGER_BYTES = (4, 8)


def first_text(headers: Headers, names: Names) -> str | None:
    """The value of the first of these headers that a record has."""
    return next((value for name in names if (value := text(headers, name)) is not None), None)


def first_number(headers: Headers, names: Names) -> int | None:
    """The first of these headers that holds a number, as decimal text or as a big-endian integer."""
    return next((value for name in names if (value := _number(headers, name)) is not None), None)


def _number(headers: Headers, name: str) -> int | None:
    decimal = number(headers, name)
    if decimal is not None:
        return decimal
    value = last(headers, name)
    if value is None or len(value) not in _INTEGER_BYTES:
        return None
    integer = int.from_bytes(value, "big", signed=True)
    return integer if integer >= 0 else None
