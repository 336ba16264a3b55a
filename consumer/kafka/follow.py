"""Reading topics without a consumer group: for people who watch, and for tools. Leaves no trace on the broker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.errors import BrokerUnavailable, StopError
from consumer.kafka.access import check_readable
from consumer.kafka.admin import describe_cluster
from consumer.kafka.clients import client_properties, fatal_errors, open_client, stop_error
from consumer.kafka.records import Record
from consumer.kafka.source import record_of
from consumer.settings import KafkaSettings

Start = Literal["beginning", "end"] | int
"""Where to begin: with the oldest record, with the next one, or with the first of a time (epoch milliseconds)."""


def groupless_properties(settings: KafkaSettings) -> dict[str, Any]:
    """Properties of a consumer that assigns partitions to itself and commits nothing."""
    return {
        "group.id": "tingxie-follow",  # the client insists on one; it is never joined
        "allow.auto.create.topics": False,
        **client_properties(settings),
        "auto.offset.reset": "earliest",  # retention removed records meanwhile; what the service does is for its group
        "group.protocol": "classic",  # whatever the service uses: there is no group here
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


def groupless_error(error: KafkaError, settings: KafkaSettings, topic: str | None = None) -> StopError | None:
    """Like `stop_error`, for a client with `groupless_properties`."""
    # The client asks who coordinates the group it was made to name, and reads all the same when it may not.
    if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return None
    return stop_error(error, settings, topic)


class Follower:
    """Reads all partitions of some topics by assigning them to itself, so that no group is joined or changed.

    Partitions that a topic gets later are not seen.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], start: Start) -> None:
        """Find the partitions and where to begin. Blocks; records produced after it returns are not missed.

        Raises:
            BrokerUnavailable: no broker answered within ``kafka.startup_timeout_s``, or a topic does not exist.
            CredentialsRefused: the broker refused us.
        """
        self._settings = settings
        self._stop: StopError | None = None
        partitions = describe_cluster(settings).partitions
        check_readable(settings, topics, partitions)
        self._consumer = open_client(Consumer, groupless_properties(settings) | {"error_cb": self._on_error})
        try:
            self._consumer.assign(
                self._positions([TopicPartition(topic, n) for topic in topics for n in range(partitions[topic])], start)
            )
        except KafkaException as exception:
            self._consumer.close()
            error = exception.args[0]
            raise stop_error(error, settings) or BrokerUnavailable(
                f"broker {settings.bootstrap_servers}: {error.str()}"
            ) from exception

    def poll(self, timeout_s: float) -> Record | None:
        """Wait for a record at most so long.

        Raises:
            StopError: the client cannot go on.
        """
        with fatal_errors(self._settings):
            message = self._consumer.poll(timeout_s)
        if self._stop is not None:
            raise self._stop
        if message is None:
            return None
        error = message.error()
        if error is None:
            return record_of(message)
        if (stop := groupless_error(error, self._settings, message.topic())) is not None:
            raise stop
        return None

    def read(self) -> list[Record]:
        """Records that arrived since the last call. Never blocks; raises as `poll` does."""
        records: list[Record] = []
        while (record := self.poll(0)) is not None:
            records.append(record)
        return records

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _positions(self, partitions: list[TopicPartition], start: Start) -> list[TopicPartition]:
        deadline = time.monotonic() + self._settings.startup_timeout_s

        def left() -> float:
            return max(1.0, deadline - time.monotonic())

        found = partitions
        if isinstance(start, int):
            asked = [TopicPartition(each.topic, each.partition, start) for each in partitions]
            found = self._consumer.offsets_for_times(asked, timeout=left())
        for each in found:
            low, high = self._consumer.get_watermark_offsets(each, timeout=left())
            # A time after the last record has no offset: begin at the end, as explicit as all others.
            later = each.offset < 0 if isinstance(start, int) else start == "end"
            each.offset = high if later else max(low, each.offset)
        return found

    def _on_error(self, error: KafkaError) -> None:
        self._stop = self._stop or groupless_error(error, self._settings)
