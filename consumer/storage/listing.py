"""What lies in a bucket, with what a replay needs to know of each object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.settings import StorageSettings
from consumer.storage.client import open_client, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing tells it.

    Attributes:
        key: its name.
        etag: without quotes; empty when the storage tells none.
        modified_ms: when it was written last, epoch milliseconds by the storage's clock.
    """

    key: str
    etag: str
    modified_ms: int


def list_objects(storage: StorageSettings, bucket: str, prefix: str) -> Iterator[ListedObject]:
    """The objects of a bucket below a prefix, in the storage's order; folder markers (``name/``) are left out.

    Raises:
        TingxieError: as fetching does, about the bucket; raised while iterating.
    """
    with closing(open_client(storage, connections=1)) as client:
        yield from listed(client, bucket, prefix)


def listed(client: S3Client, bucket: str, prefix: str) -> Iterator[ListedObject]:
    """Like `list_objects`, through a client that is there already."""
    with translated(f"s3://{bucket}/{prefix}"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    modified_ms = round(item["LastModified"].timestamp() * 1000)
                    yield ListedObject(item["Key"], item.get("ETag", "").strip('"'), modified_ms)
