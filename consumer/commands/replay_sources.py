"""Where a replay takes its events from: a topic, or the listing of a bucket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from consumer.commands.inputs import S3, is_media
from consumer.commands.replay_selection import Choice
from consumer.errors import UsageError
from consumer.events.copies import Origin, origin_of
from consumer.events.headers import RECORDING, replay_id, text
from consumer.events.recording import Recording
from consumer.kafka.records import Partition, Record
from consumer.kafka.spans import Span, SpanReader, is_anew
from consumer.settings import StorageSettings
from consumer.storage.listing import list_objects
from consumer.storage.objects import check_allowed


def window(reader: SpanReader, choice: Choice) -> dict[Partition, Span]:
    """What of a topic is read for a choice, as far as offsets tell; its end is fixed.

    Raises:
        UsageError: the topic has no such partition, or an offset is of no certain one.
        BrokerUnavailable: there is no such topic, or no broker answers.
    """
    spans = reader.whole(choice.topic)
    if choice.partition is not None:
        spans = {each: span for each, span in spans.items() if each[1] == choice.partition}
        if not spans:
            raise UsageError(f"--partition {choice.partition}: topic {choice.topic} has no such partition")
    bounds = [bound for bound in (choice.start, choice.end) if bound is not None]
    if len(spans) > 1 and any(bound.kind == "offset" for bound in bounds):
        raise UsageError(f"topic {choice.topic} has {len(spans)} partitions: an offset needs --partition")
    if choice.start is not None and choice.start.kind == "time":
        spans = reader.since(spans, choice.start.value)
    elif choice.start is not None:
        spans = {each: Span(max(span.start, choice.start.value), span.end) for each, span in spans.items()}
    if choice.end is not None and choice.end.kind == "offset":
        spans = {each: Span(span.start, min(span.end, choice.end.value)) for each, span in spans.items()}
    return spans


class Source(Protocol):
    """Upload events of a window that is fixed."""

    @property
    def total(self) -> int | None:
        """How many there are, about; None when nobody knows."""

    def records(self) -> Iterator[Record]:
        """All of them that are still there; to be asked for once.

        Raises:
            TingxieError: the source fails; raised while iterating.
        """

    def gone(self, sent: Collection[Hashable]) -> dict[str, int]:
        """How many of its records at most were removed before they were read, by partition; nothing where none was.

        Args:
            sent: originals that do not count.
        """

    def original(self, record: Record) -> Hashable:
        """What names one of its records."""

    def original_of(self, copy: Record) -> Hashable | None:
        """What names the record that this is a copy of; None when that is none of this source."""


@dataclass(frozen=True, slots=True)
class TopicSource:
    """Spans of a topic.

    Attributes:
        reader: of the broker.
        topic: they are of.
        spans: with fixed ends.
        removed: stretches of them that were not there when they were to be read.
    """

    reader: SpanReader
    topic: str
    spans: dict[Partition, Span]
    removed: list[tuple[Partition, Span]] = field(default_factory=list)

    @classmethod
    def of(cls, reader: SpanReader, topic: str, spans: dict[Partition, Span]) -> TopicSource:
        """The source of spans that were fixed at some time; what was gone already when the topic was made anew.

        Raises:
            BrokerUnavailable: there is no such topic, or no broker answers.
        """
        held, removed = still_held(spans, reader.whole(topic))
        return cls(reader, topic, held, list(removed.items()))

    @property
    def total(self) -> int | None:
        """Offsets in the spans."""
        return sum(map(len, self.spans.values()))

    def records(self) -> Iterator[Record]:
        """As the broker hands them out."""
        return self.reader.read(self.spans, lambda partition, span: self.removed.append((partition, span)))

    def gone(self, sent: Collection[Hashable]) -> dict[str, int]:
        """Offsets that were removed; where records were compacted away there were fewer records."""
        counts: Counter[str] = Counter()
        for (topic, partition), span in self.removed:
            known = sum(
                Origin(topic, partition, span.start) <= each < Origin(topic, partition, span.end)
                for each in sent
                if isinstance(each, Origin)
            )
            counts[f"{topic}[{partition}]"] += len(span) - known
        return {partition: count for partition, count in counts.items() if count}

    def original(self, record: Record) -> Hashable:
        """Where it lies."""
        return Origin(record.topic, record.partition, record.offset)

    def original_of(self, copy: Record) -> Hashable | None:
        """Where its original lies."""
        origin = origin_of(copy.headers)
        return None if origin is None or origin.topic != self.topic else origin


@dataclass(frozen=True, slots=True)
class BucketSource:
    """Media files of a bucket, as native events; their key is ``bucket/key``.

    Attributes:
        storage: the bucket is in.
        bucket: its name.
        prefix: of the keys.
        until_ms: what was written later is left out, epoch milliseconds: its own event is in the topic.
    """

    storage: StorageSettings
    bucket: str
    prefix: str
    until_ms: int

    @classmethod
    def at(cls, address: str, storage: StorageSettings, until_ms: int) -> BucketSource:
        """The source at ``s3://bucket`` or ``s3://bucket/prefix``.

        Raises:
            UsageError: that is no address of a bucket.
            BucketNotAllowed: no event may name that bucket.
        """
        bucket, _, prefix = address.removeprefix(S3).partition("/")
        if not address.startswith(S3) or not bucket:
            raise UsageError(f"--from-bucket {address}: write s3://bucket or s3://bucket/prefix")
        check_allowed(Recording(bucket=bucket, key=prefix), storage.allowed_buckets)
        return cls(storage, bucket, prefix, until_ms)

    @property
    def total(self) -> int | None:
        """A listing does not tell."""
        return None

    def records(self) -> Iterator[Record]:
        """An event for each object that is called like a recording."""
        for number, each in enumerate(list_objects(self.storage, self.bucket, self.prefix)):
            if is_media(each.key) and each.modified_ms <= self.until_ms:
                event = {"bucket": self.bucket, "key": each.key, "etag": each.etag or None}
                key = f"{self.bucket}/{each.key}".encode()
                yield Record(f"{S3}{self.bucket}", 0, number, key, orjson.dumps(event), [], each.modified_ms)

    def gone(self, sent: Collection[Hashable]) -> dict[str, int]:
        """Nothing: a listing names what is there."""
        return {}

    def original(self, record: Record) -> Hashable:
        """Its object."""
        return record.key

    def original_of(self, copy: Record) -> Hashable | None:
        """Its object; copies have no original in a topic."""
        return copy.key if origin_of(copy.headers) is None else None


def still_held(
    spans: Mapping[Partition, Span], now: Mapping[Partition, Span]
) -> tuple[dict[Partition, Span], dict[Partition, Span]]:
    """What may still be read of spans that were fixed at some time, and what not: partitions that were made anew. Pure.

    The offsets of such a one are now those of other records.

    Args:
        spans: that were within the topic then.
        now: all that it holds.
    """
    held = {each: span for each, span in spans.items() if not is_anew(each, span.end, now)}
    return held, {each: span for each, span in spans.items() if each not in held}


def sent_by(source: Source, replay: str, records: Iterable[Record]) -> dict[Hashable, set[str | None]]:
    """What a replay has sent: of each original the recordings that its copies are limited to, None for all of them.

    Args:
        source: of the originals.
        replay: its id.
        records: of the topic that it writes to; those of others are left out.
    """
    sent: dict[Hashable, set[str | None]] = {}
    for each in records:
        original = source.original_of(each)
        if original is not None and replay_id(each.headers) == replay:
            sent.setdefault(original, set()).add(text(each.headers, RECORDING))
    return sent
