"""Where a replay takes its events from: a topic, or the listing of a bucket."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol

import orjson

from consumer.commands.inputs import S3, is_media
from consumer.errors import UsageError
from consumer.events.copies import origin_of
from consumer.events.headers import RECORDING, Headers, text
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

    def copy_id(self, key: bytes | None, headers: Headers) -> Hashable | None:
        """What a copy is a copy of, by its key and headers; None when it is none of this source."""


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

    def copy_id(self, key: bytes | None, headers: Headers) -> Hashable | None:
        """Its original, and the recording that it is limited to."""
        origin = origin_of(headers)
        return None if origin is None or origin.topic != self.topic else (origin, text(headers, RECORDING))


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

    def copy_id(self, key: bytes | None, headers: Headers) -> Hashable | None:
        """Its object; copies have no original in a topic."""
        return key if origin_of(headers) is None else None
