"""Where a replay takes its events from: a topic, or the listing of a bucket."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import orjson

from consumer.commands.inputs import S3, is_media
from consumer.errors import UsageError
from consumer.events.copies import Origin, origin_of
from consumer.events.headers import RECORDING, replay_id, text
from consumer.events.recording import Recording
from consumer.kafka.records import Partition, Record
from consumer.kafka.spans import Span, SpanReader
from consumer.settings import StorageSettings
from consumer.storage.listing import list_objects
from consumer.storage.objects import check_allowed


class Source(Protocol):
    """Upload events of a window that is fixed."""

    @property
    def total(self) -> int | None:
        """How many there are, about; None when nobody knows."""

    def records(self) -> Iterator[Record]:
        """All of them; may be asked for again.

        Raises:
            TingxieError: the source fails; raised while iterating.
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
    """

    reader: SpanReader
    topic: str
    spans: dict[Partition, Span]

    @property
    def total(self) -> int | None:
        """Offsets in the spans."""
        return sum(map(len, self.spans.values()))

    def records(self) -> Iterator[Record]:
        """As the broker hands them out."""
        return self.reader.read(self.spans)

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

    def original(self, record: Record) -> Hashable:
        """Its object."""
        return record.key

    def original_of(self, copy: Record) -> Hashable | None:
        """Its object; copies have no original in a topic."""
        return copy.key if origin_of(copy.headers) is None else None


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
