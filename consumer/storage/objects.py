"""Objects of an S3-compatible storage, fetched into the spool."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, cast

from consumer.errors import (
    BucketNotAllowed,
    EventInvalid,
    ObjectEmpty,
    ObjectTooLarge,
    StorageTimeout,
    StorageUnavailable,
)
from consumer.events.recording import Recording
from consumer.settings import LimitSettings, StorageSettings
from consumer.storage.client import open_client, translated
from consumer.storage.listing import listed
from consumer.storage.spool import Spool
from consumer.transcript.types import StoredObject

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

CHUNK = 1 << 20
"""Bytes held in memory of an object on its way to the spool; larger gains nothing on a socket."""


PLAIN_BUCKET = re.compile(r"(?!.*--[a-z]+-s3$)[A-Za-z0-9][A-Za-z0-9._-]*")
"""What the client takes for a bucket of the configured storage. ARNs, and names that AWS keeps for other things than
buckets (``--x-s3``, ``--op-s3``), make it speak another protocol or to another host: an event must not choose that."""


def check_allowed(recording: Recording, allowed: Collection[str]) -> None:
    """Refuse an event that names a bucket outside ``storage.allowed_buckets``; no names at all allow every bucket.

    Raises:
        BucketNotAllowed: it does, or it names what is no bucket and not among the names either.
    """
    bucket = recording.bucket
    if allowed and bucket not in allowed:
        raise BucketNotAllowed(
            f"{recording.object_id}: bucket {bucket!r} is not in storage.allowed_buckets ({', '.join(sorted(allowed))})"
        )
    if not allowed and not PLAIN_BUCKET.fullmatch(bucket):
        raise BucketNotAllowed(
            f"{recording.object_id}: {bucket!r} is no plain bucket name; to read from it, name it in "
            "storage.allowed_buckets"
        )


def check_key(recording: Recording) -> None:
    """Refuse a key that leads out of its bucket where a proxy or storage resolves ``..`` as in a path.

    Raises:
        EventInvalid: it does; AWS has no such objects either.
    """
    depth = 0
    for segment in recording.key.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(segment, 1)
        if depth < 0:
            raise EventInvalid(f"{recording.object_id}: the key leads out of its bucket (..)")


class ObjectFetcher:
    """Reads objects through one shared client. All methods block and may be called from any thread.

    Nothing is retried here: the pipeline does that, and counts it.
    """

    def __init__(self, storage: StorageSettings, limits: LimitSettings, spool: Spool) -> None:
        """Set up the client; no request is made.

        Raises:
            UsageError: the settings contradict each other or the client refuses them.
            CredentialsRefused: the AWS configuration names credentials that cannot be found.
        """
        self._limit = limits.object_bytes
        self._seconds = limits.fetch_seconds
        self._spool = spool
        self._client = open_client(storage, connections=limits.fetch_workers)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def fetch(self, recording: Recording) -> StoredObject:
        """Copy an object into the spool; the caller removes the copy.

        What the bucket holds now is what counts: when the object was overwritten after its event, the newer one is
        fetched (unless the event named a version) and the returned ETag says so. The overwriting upload has an event
        of its own, whose transcript gets the same id.

        Raises:
            ObjectMissing: the object, its version or its bucket is not there.
            ObjectForbidden: these credentials may not read it, or it is archived.
            ObjectEmpty: it has no bytes.
            ObjectTooLarge: it is larger than ``limits.object_bytes``.
            EventInvalid: its bucket or key is no possible name, or the key leads out of the bucket.
            StorageUnavailable: the storage failed or cut the connection.
            StorageTimeout: the storage did not answer in time, or took more than ``limits.fetch_seconds``.
            SpoolFull: the disk is full.
            CredentialsRefused: the storage does not know the credentials.
        """
        check_key(recording)
        name = recording.object_id
        path = self._spool.new_path(".object")
        deadline = time.monotonic() + self._seconds
        with translated(name):
            response = self._get(recording)
            with closing(response["Body"]) as body:
                expected = _length(name, response)
                if expected is not None:
                    self._check_size(name, expected)
                with self._spool.writing(path) as file:
                    size = 0
                    for chunk in _chunks(body):
                        size += len(chunk)
                        self._check_size(name, size)
                        if time.monotonic() > deadline:
                            seconds = f"limits.fetch_seconds ({self._seconds:g} s)"
                            raise StorageTimeout(f"{name}: only {size} bytes came within {seconds}")
                        file.write(chunk)
                    self._check_size(name, size)
                    if expected is not None and size != expected:
                        raise StorageUnavailable(f"{name}: the storage sent {size} of {expected} bytes")
        version = response.get("VersionId")
        return StoredObject(
            path=path,
            size=size,
            etag=response.get("ETag", "").strip('"'),
            version_id=None if version == "null" else version,  # what a bucket says whose versioning is suspended
        )

    def keys(self, bucket: str, prefix: str = "") -> Iterator[str]:
        """Names of a bucket's objects, in the storage's order; folder markers (``name/``) are left out.

        Raises:
            TingxieError: as `fetch` does, about the bucket; raised while iterating.
        """
        return (each.key for each in listed(self._client, bucket, prefix))

    def check_bucket(self, bucket: str) -> None:
        """Ask whether a bucket is there and open to us.

        Raises:
            TingxieError: as `fetch` does, about the bucket.
        """
        with translated(f"bucket {bucket}"):
            # Not HEAD, whose answer has no room for the reason.
            self._client.list_objects_v2(Bucket=bucket, MaxKeys=1)

    def _get(self, recording: Recording) -> GetObjectOutputTypeDef:
        if recording.version_id is None:
            return self._client.get_object(Bucket=recording.bucket, Key=recording.key)
        return self._client.get_object(Bucket=recording.bucket, Key=recording.key, VersionId=recording.version_id)

    def _check_size(self, name: str, size: int) -> None:
        if size > self._limit:
            raise ObjectTooLarge(f"{name}: more than limits.object_bytes ({self._limit:,} bytes)")
        if size == 0:
            raise ObjectEmpty(f"{name}: the object has no bytes")


def _length(name: str, response: GetObjectOutputTypeDef) -> int | None:
    """Bytes that the storage announced; None for a chunked answer, which marks its end.

    Raises:
        StorageUnavailable: neither, so that the end of the answer would pass for the end of the object. The client
            library makes such an answer of one that was cut off in its headers.
    """
    length = cast("int | None", response.get("ContentLength"))
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    if length is None and "chunked" not in headers.get("transfer-encoding", "").lower():
        raise StorageUnavailable(f"{name}: the storage's answer is incomplete")
    return length


def _chunks(body: StreamingBody) -> Iterator[bytes]:
    while chunk := body.read(CHUNK):
        yield chunk
