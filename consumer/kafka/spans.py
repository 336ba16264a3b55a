"""Reading a stretch of a topic whose end is fixed before the reading begins. Leaves no trace on the broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.errors import BrokerUnavailable, StopError
from consumer.kafka.access import check_readable
from consumer.kafka.admin import describe_cluster
from consumer.kafka.clients import fatal_errors, open_client
from consumer.kafka.follow import groupless_error, groupless_properties
from consumer.kafka.records import Partition, Record
from consumer.kafka.source import record_of
from consumer.settings import KafkaSettings

POLL_S = 0.2
"""How long the client waits at most, so that Ctrl-C is noticed soon."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of a partition.

    Attributes:
        start: the first.
        end: the first that is not one of them.
    """

    start: int
    end: int

    def __len__(self) -> int:
        """Offsets in it; where records were compacted away there are fewer records."""
        return max(0, self.end - self.start)


class SpanReader:
    """Finds spans and reads them, partition by partition as the broker hands them out, without joining a group."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Set up the client and ask for the topics. Blocks.

        Raises:
            BrokerUnavailable: no broker answered within ``kafka.startup_timeout_s``.
            CredentialsRefused: the broker refused us.
        """
        self._settings = settings
        self._stop: StopError | None = None
        self.partitions = describe_cluster(settings).partitions
        self._consumer = open_client(
            Consumer, groupless_properties(settings) | {"enable.partition.eof": True, "error_cb": self._on_error}
        )

    def whole(self, topic: str) -> dict[Partition, Span]:
        """All that a topic holds now.

        Raises:
            BrokerUnavailable: it does not exist, or no broker answers.
        """
        check_readable(self._settings, [topic], self.partitions)
        return {
            (topic, number): Span(*self._asked(self._consumer.get_watermark_offsets, TopicPartition(topic, number)))
            for number in range(self.partitions[topic])
        }

    def since(self, spans: Mapping[Partition, Span], time_ms: int) -> dict[Partition, Span]:
        """The spans from the first record of a time on, epoch milliseconds; empty where there is none."""
        asked = [TopicPartition(*partition, time_ms) for partition in spans]
        found = self._asked(self._consumer.offsets_for_times, asked)
        starts = {(each.topic, each.partition): each.offset for each in found}
        return {
            partition: Span(max(span.start, starts[partition]) if starts[partition] >= 0 else span.end, span.end)
            for partition, span in spans.items()
        }

    def read(self, spans: Mapping[Partition, Span]) -> Iterator[Record]:
        """The records of some spans; ends with the last of them, whatever is written meanwhile.

        Raises:
            BrokerUnavailable: nothing came within ``kafka.startup_timeout_s``.
            StopError: the client cannot go on.
        """
        left = {partition: span for partition, span in spans.items() if len(span)}
        wanted = [TopicPartition(*partition, span.start) for partition, span in left.items()]
        self._consumer.assign(wanted)
        self._consumer.resume(wanted)  # a pause outlives the assignment it was made in
        heard = time.monotonic()
        while left:
            with fatal_errors(self._settings, ", ".join(sorted({each.topic for each in wanted}))):
                message = self._consumer.poll(POLL_S)
            if self._stop is not None:
                raise self._stop
            if message is None:
                self._check_patience(heard, left)
                continue
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - public, underscore and all
                if (stop := groupless_error(error, self._settings, message.topic())) is not None:
                    raise stop
                continue
            place, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
            if place in left:
                end = left[place].end
                if error is not None or offset >= end - 1:
                    del left[place]
                    self._consumer.pause([TopicPartition(*place)])
                if error is None and offset < end:
                    yield record_of(message)
            heard = time.monotonic()
        self._consumer.unassign()

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _check_patience(self, heard: float, left: Collection[Partition]) -> None:
        if time.monotonic() - heard > self._settings.startup_timeout_s:
            topic, partition = next(iter(left))
            raise BrokerUnavailable(
                f"broker {self._settings.bootstrap_servers}: nothing came of {topic}[{partition}] within "
                f"{self._settings.startup_timeout_s:g} s (kafka.startup_timeout_s); run the same command again"
            )

    def _asked(self, question: Callable[..., T], about: object) -> T:
        try:
            return question(about, timeout=self._settings.startup_timeout_s)
        except KafkaException as exception:
            error = exception.args[0]
            raise groupless_error(error, self._settings) or BrokerUnavailable(
                f"broker {self._settings.bootstrap_servers}: {error.str()}"
            ) from exception

    def _on_error(self, error: KafkaError) -> None:
        self._stop = self._stop or groupless_error(error, self._settings)
