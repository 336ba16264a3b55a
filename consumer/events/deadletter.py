"""Headers of a dead letter: why it is one, where it came from, which recording failed.

Value, key and the original headers of the record stay as they were; only headers of the names below are replaced, so
that a record which fails again after a redrive tells about its last failure and does not grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from consumer.errors import RecordingError
from consumer.events import foreign
from consumer.events.headers import HISTORY, RECORDING, Headers, number, text
from consumer.redaction import redacted

MAX_MESSAGE_BYTES = 2048
"""An error's message is cut to this; the rest is in the log."""

_NUMBER = r"^(0|[1-9][0-9]*)$"


def _absent_or_text(schema: dict[str, Any]) -> None:
    """A header that is left out has no default."""
    del schema["default"]


class DeadLetterHeaders(BaseModel):
    """Headers of a dead letter, beside the original ones; all values are UTF-8 text."""

    model_config = ConfigDict(frozen=True, title="dead-letter-headers.v1", populate_by_name=True)

    topic: str = Field(alias="__dlq.errors.topic", min_length=1, description="topic its upload event was read from")
    partition: str = Field(alias="__dlq.errors.partition", pattern=_NUMBER, description="its partition")
    offset: str = Field(alias="__dlq.errors.offset", pattern=_NUMBER, description="its offset")
    group: str = Field(alias="__dlq.errors.group", min_length=1, description="consumer group that gave it up")
    delivery_count: str = Field(
        alias="__dlq.errors.delivery.count", pattern=_NUMBER, description="how often it was tried"
    )
    message: str = Field(alias="__dlq.errors.message", description="what went wrong, for a person; at most 2,048 bytes")
    code: str = Field(alias="__dlq.errors.class", pattern=r"^[a-z][a-z0-9_]*$", description="name of the cause")
    stage: str = Field(
        alias="__dlq.errors.stage",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="where it went wrong: event, fetch, decode, engine or publish",
    )
    retryable: str = Field(
        alias="__dlq.errors.retryable", pattern=r"^(true|false)$", description="whether another try may succeed"
    )
    timestamp: str = Field(alias="__dlq.errors.timestamp", pattern=_NUMBER, description="when, epoch milliseconds")
    original_topic: str = Field(alias="kafka_dlt-original-topic", min_length=1, description="as __dlq.errors.topic")
    original_partition: str = Field(
        alias="kafka_dlt-original-partition", pattern=_NUMBER, description="as __dlq.errors.partition"
    )
    original_offset: str = Field(
        alias="kafka_dlt-original-offset", pattern=_NUMBER, description="as __dlq.errors.offset"
    )
    recording: str | SkipJsonSchema[None] = Field(
        default=None,
        alias=RECORDING,
        json_schema_extra=_absent_or_text,
        description="bucket/key of the recording that failed; absent when the event could not be read",
    )
    history: str | SkipJsonSchema[None] = Field(
        default=None,
        alias=HISTORY,
        json_schema_extra=_absent_or_text,
        description="JSON array: how each round of tries ended; absent when there was one only",
    )


NAMES: Mapping[str, str] = {name: str(field.alias) for name, field in DeadLetterHeaders.model_fields.items()}
"""Header name of each field."""


def dead_letter_headers(
    original_headers: Headers,
    *,
    topic: str,
    partition: int,
    offset: int,
    group: str,
    delivery_count: int,
    error: RecordingError,
    recording_id: str | None,
    timestamp_ms: int,
    history: bytes | None = None,
) -> list[tuple[str, bytes | None]]:
    """The headers of a record's dead letter: the original ones in their order, then those that say why.

    Args:
        original_headers: of the record that failed.
        topic: in which its upload event was read.
        partition: of that topic.
        offset: of that record.
        group: of this consumer.
        delivery_count: how often it was tried, this time included.
        error: why it was given up.
        recording_id: ``bucket/key`` of the recording that failed; None when the event could not be read, and then a
            recording that the original headers name stays.
        timestamp_ms: now, epoch milliseconds.
        history: how each round of tries ended, as JSON; None when there was one only.
    """
    headers = DeadLetterHeaders(
        topic=topic,
        partition=str(partition),
        offset=str(offset),
        group=group,
        delivery_count=str(delivery_count),
        message=bounded(redacted(str(error))),
        code=error.code,
        stage=error.stage,
        retryable="true" if error.retryable else "false",
        timestamp=str(timestamp_ms),
        original_topic=topic,
        original_partition=str(partition),
        original_offset=str(offset),
        recording=recording_id,
        history=None if history is None else history.decode(),
    )
    added = headers.model_dump(by_alias=True, exclude_none=True)
    replaced = set(NAMES.values()) - {RECORDING} | set(added)
    kept = [(name, value) for name, value in original_headers if name not in replaced]
    return [*kept, *((name, value.encode()) for name, value in added.items())]


def bounded(message: str, limit: int = MAX_MESSAGE_BYTES) -> str:
    """A message cut to a number of UTF-8 bytes, between characters, with an ellipsis where something is missing."""
    encoded = message.encode(errors="replace")
    if len(encoded) <= limit:
        return encoded.decode()
    ellipsis = "…"
    return encoded[: limit - len(ellipsis.encode())].decode(errors="ignore") + ellipsis


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a record is in the dead-letter topic, as its headers tell; None for what they do not tell.

    Attributes:
        topic: it was consumed from.
        partition: of that topic.
        offset: of the record.
        group: consumer group that gave it up.
        delivery_count: how often it was tried.
        code: name of the cause (``.class``).
        stage: where it arose.
        message: for a person.
        retryable: whether another try may succeed.
        timestamp_ms: when, epoch milliseconds.
        recording: ``bucket/key`` of the recording that failed.
    """

    topic: str | None
    partition: int | None
    offset: int | None
    group: str | None
    delivery_count: int | None
    code: str | None
    stage: str | None
    message: str | None
    retryable: bool | None
    timestamp_ms: int | None
    recording: str | None

    @classmethod
    def from_headers(cls, headers: Headers) -> DeadLetter:
        """Read the headers of any record of a dead-letter topic; never raises, whoever wrote it.

        What this program's headers do not tell is looked for in those of Spring for Apache Kafka and Kafka Connect.
        """

        def told(field: str, elsewhere: foreign.Names) -> str | None:
            return foreign.first_text(headers, (NAMES[field], *elsewhere))

        return cls(
            topic=told("topic", foreign.TOPIC),
            partition=foreign.first_number(headers, (NAMES["partition"], *foreign.PARTITION)),
            offset=foreign.first_number(headers, (NAMES["offset"], *foreign.OFFSET)),
            group=told("group", foreign.GROUP),
            delivery_count=number(headers, NAMES["delivery_count"]),
            code=told("code", foreign.CLASS),
            stage=told("stage", foreign.STAGE),
            message=told("message", foreign.MESSAGE),
            retryable={"true": True, "false": False}.get(text(headers, NAMES["retryable"]) or ""),
            timestamp_ms=number(headers, NAMES["timestamp"]),
            recording=text(headers, NAMES["recording"]),
        )
