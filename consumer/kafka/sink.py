"""Records out: transcripts and dead letters. Called by the loop thread only, callbacks included."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.errors import DeliveryFailed, StopError, TranscriptTooLarge, UsageError
from consumer.kafka.clients import client_properties, fatal_errors, open_client, stop_error
from consumer.settings import KafkaSettings

MAX_MESSAGE_BYTES = 1_000_000_000
"""The most that the client allows, so that the topic's own ``max.message.bytes`` decides.

What an upload topic took must not be refused by the client on its way to the dead-letter topic.
"""

RECORD_BYTES = 1_000_000
"""What every topic takes unless told otherwise: the client's default of ``message.max.bytes``, below brokers' 1 MiB."""

MESSAGE_MAX_BYTES = "message.max.bytes"


def record_limit(settings: KafkaSettings, asked: int | None) -> int:
    """Bytes of the largest record that should be sent.

    Args:
        settings: whose properties may bound the client.
        asked: ``limits.transcript_bytes``.

    Raises:
        UsageError: ``message.max.bytes`` of ``kafka.properties`` is no number.
    """
    allowed = settings.properties.get(MESSAGE_MAX_BYTES)
    if allowed is None:
        return min(asked or RECORD_BYTES, MAX_MESSAGE_BYTES)
    try:
        bound = int(allowed)
    except ValueError as error:
        raise UsageError(f"kafka.properties: {MESSAGE_MAX_BYTES} is {allowed!r}; give a number of bytes") from error
    return min(asked or bound, bound)


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a produced record.

    Attributes:
        tag: what it was produced under.
        error: None when the broker has it; `TranscriptTooLarge` when its size was refused; else why it failed for good.
    """

    tag: Hashable
    error: TranscriptTooLarge | StopError | None


class Sink:
    """An idempotent producer whose delivery reports are collected, not called back."""

    def __init__(self, settings: KafkaSettings, limit: int) -> None:
        """Set up the client; it connects by itself.

        Args:
            settings: of the broker.
            limit: bytes of a record that the topics take for sure.
        """
        self._settings = settings
        self._stop: StopError | None = None
        self._deliveries: list[Delivery] = []
        self._producer = open_client(
            Producer,
            {
                "linger.ms": 5,
                "compression.type": "lz4",
                MESSAGE_MAX_BYTES: MAX_MESSAGE_BYTES,
                # Topics measure batches: small records together must not be refused where each alone is taken.
                "batch.size": min(limit, RECORD_BYTES),
                **client_properties(settings),
                # At least once stands on these three.
                "enable.idempotence": True,
                "acks": "all",
                # A broker takes a producer's first batch of a partition with any sequence number. When it refuses the
                # first for now and takes the second, which is on its way already, it calls the first a duplicate when
                # that comes again, and the client reports as delivered what is in no topic.
                "max.in.flight.requests.per.connection": 1,
                "error_cb": self._on_error,
            },
        )

    def produce(self, tag: Hashable, record: OutgoingRecord) -> bool:
        """Hand a record to the client; false when its queue is full, and then nothing was taken."""
        try:
            self._producer.produce(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=partial(self._on_delivery, tag, record),
            )
        except BufferError:
            return False
        except KafkaException as exception:
            self._deliveries.append(Delivery(tag, self._meaning(exception.args[0], record)))
        return True

    def deliveries(self) -> list[Delivery]:
        """Reports since the last call.

        Raises:
            StopError: the client cannot go on.
        """
        with fatal_errors(self._settings):
            self._producer.poll(0)
        if self._stop is not None:
            raise self._stop
        deliveries, self._deliveries = self._deliveries, []
        return deliveries

    def flush(self, timeout_s: float) -> int:
        """Wait until everything is delivered, at most so long; returns how many records still are not.

        Raises:
            StopError: the client cannot go on.
        """
        with fatal_errors(self._settings):
            return int(self._producer.flush(timeout_s))

    def close(self) -> None:
        """Forget what is still queued: it belongs to records that are not committed."""
        self._producer.purge(in_flight=False)
        with suppress(KafkaException):  # whoever closes after a fatal error knows of it
            self._producer.flush(1.0)

    def _on_delivery(self, tag: Hashable, record: OutgoingRecord, error: KafkaError | None, _: Message) -> None:
        self._deliveries.append(Delivery(tag, None if error is None else self._meaning(error, record)))

    def _meaning(self, error: KafkaError, record: OutgoingRecord) -> TranscriptTooLarge | StopError:
        key = (record.key or b"").decode(errors="replace")
        if error.code() in {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}:
            size = len(record.value or b"")
            return TranscriptTooLarge(
                f"{key}: topic {record.topic} refused a record of {size} bytes; raise its max.message.bytes"
            )
        return stop_error(error, self._settings, record.topic) or DeliveryFailed(
            f"topic {record.topic} did not take the record {key!r}: {error.str()}"
        )

    def _on_error(self, error: KafkaError) -> None:
        # What passes by itself needs no line here: the client logs it, and holds repeats back.
        self._stop = self._stop or stop_error(error, self._settings)
