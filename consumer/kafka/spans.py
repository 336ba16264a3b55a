"""Reading a stretch of a topic whose end is fixed before the reading begins. Leaves no trace on the broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

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

_AT_END = KafkaError._PARTITION_EOF  # noqa: SLF001 - public, underscore and all
_OUT_OF_RANGE = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001

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


def is_anew(partition: Partition, end: int, now: Mapping[Partition, Span]) -> bool:
    """Whether a partition is not the one that had this end: it is gone, or its offsets do not reach so far.

    Args:
        partition: that was looked at some time.
        end: that it had then.
        now: all that its topic holds.
    """
    return partition not in now or now[partition].end < end


Gone = Callable[[Partition, Span], None]
"""Told of a partition, and of offsets there that are not any more."""


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
        own = {"enable.partition.eof": True, "auto.offset.reset": "error", "error_cb": self._on_error}
        self._consumer = open_client(Consumer, groupless_properties(settings) | own)

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

    def read(self, spans: Mapping[Partition, Span], gone: Gone = lambda _partition, _span: None) -> Iterator[Record]:
        """The records of some spans; ends with the last of them, whatever is written meanwhile.

        Args:
            spans: of partitions that exist.
            gone: told of each stretch that was removed before it could be read.

        Raises:
            BrokerUnavailable: nothing came within ``kafka.startup_timeout_s``.
            StopError: the client cannot go on.
        """
        left = {partition: span for partition, span in spans.items() if len(span)}
        topics = ", ".join(sorted({topic for topic, _ in left}))
        self._assign(left)
        heard = time.monotonic()
        while left:
            message = self._poll(topics)
            if message is None:
                self._check_patience(heard, left)
                continue
            heard = time.monotonic()
            place = (message.topic() or "", message.partition() or 0)
            if (span := left.pop(place, None)) is None:
                continue  # it came before the pause
            error, offset = message.error(), message.offset() or 0
            if error is None:
                rest = Span(offset + 1, span.end)
            else:
                lost = self._lost(place, span, offset if error.code() == _AT_END else None)
                if len(lost):
                    gone(place, lost)
                rest = Span(lost.end, span.end)
            if len(rest):
                left[place] = rest
            else:
                self._consumer.pause([TopicPartition(*place)])
            if error is not None and len(rest):
                self._assign(left)
            if error is None and offset < span.end:
                yield record_of(message)
        self._consumer.unassign()

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _assign(self, spans: Mapping[Partition, Span]) -> None:
        wanted = [TopicPartition(*partition, span.start) for partition, span in spans.items()]
        self._consumer.assign(wanted)
        self._consumer.resume(wanted)  # a pause outlives the assignment it was made in

    def _poll(self, topics: str) -> Message | None:
        """A record, or that a partition ended or does not hold what was to be read; None when there is none of them."""
        with fatal_errors(self._settings, topics):
            message = self._consumer.poll(POLL_S)
        if self._stop is not None:
            raise self._stop
        error = None if message is None else message.error()
        if message is None or error is None or error.code() in {_AT_END, _OUT_OF_RANGE}:
            return message
        if (stop := groupless_error(error, self._settings, message.topic())) is not None:
            raise stop
        return None

    def _lost(self, partition: Partition, span: Span, end: int | None) -> Span:
        """What is not there of a span that cannot be read on: its rest, or its beginning.

        Args:
            partition: of the topic.
            span: that was to be read.
            end: of the partition, if that is why.
        """
        if end is not None:
            return Span(max(end, span.start), span.end)
        held = Span(*self._asked(self._consumer.get_watermark_offsets, TopicPartition(*partition)))
        return Span(span.start, span.end if held.end < span.start else min(max(held.start, span.start), span.end))

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
