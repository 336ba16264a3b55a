"""Objects into a storage: what the demo needs to fill its own bucket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consumer.settings import StorageSettings
from consumer.storage.client import open_client, translated


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What the storage answered.

    Attributes:
        etag: without quotes.
        size: bytes.
    """

    etag: str
    size: int


class Uploader:
    """Writes objects through one client. All methods block and may be called from any thread."""

    def __init__(self, storage: StorageSettings) -> None:
        self._client = open_client(storage, connections=1)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket.

        Raises:
            TingxieError: as `consumer.storage.objects.ObjectFetcher.fetch` does, about the bucket.
        """
        with translated(f"bucket {bucket}"):
            self._client.create_bucket(Bucket=bucket)

    def put_object(self, bucket: str, key: str, path: Path) -> Uploaded:
        """Copy a file into a bucket in one request.

        Raises:
            OSError: the file cannot be read.
            TingxieError: as `consumer.storage.objects.ObjectFetcher.fetch` does, about the object.
        """
        with path.open("rb") as file:
            size = path.stat().st_size
            with translated(f"{bucket}/{key}"):
                answer = self._client.put_object(Bucket=bucket, Key=key, Body=file)
        return Uploaded(etag=answer["ETag"].strip('"'), size=size)
