"""Transcripts into a bucket: those too large for an event."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from consumer.errors import (
    EventInvalid,
    ObjectForbidden,
    ObjectMissing,
    RetryError,
    TranscriptBucketForbidden,
    TranscriptBucketMissing,
    TranscriptNotStored,
)
from consumer.events.stored import CONTENT_TYPE, StoredTranscript, document
from consumer.events.transcript import Transcript
from consumer.settings import StorageSettings
from consumer.storage.client import open_client, translated


class TranscriptStore:
    """Writes to ``storage.transcript_bucket``. All methods block and may be called from any thread.

    Nothing is retried here: the pipeline does that, and counts it.
    """

    def __init__(self, storage: StorageSettings, connections: int) -> None:
        """Set up the client; no request is made.

        Args:
            storage: names the bucket.
            connections: most that are open at once.

        Raises:
            UsageError: the settings contradict each other or the client refuses them.
            CredentialsRefused: the AWS configuration names credentials that cannot be found.
        """
        self._bucket = storage.transcript_bucket
        self._prefix = storage.transcript_prefix
        self._client = open_client(storage, connections)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def store(self, transcript: Transcript) -> StoredTranscript:
        """Write a whole transcript; when it is there already, the same bytes are written over it.

        Raises:
            TranscriptBucketMissing: the bucket does not exist, or its name is none.
            TranscriptBucketForbidden: these credentials may not write there.
            TranscriptNotStored: the storage failed, throttled, cut the connection, or did not answer in time.
            CredentialsRefused: the storage does not know the credentials.
        """
        content = document(transcript)
        key = content.key(self._prefix)
        with _translated(self._bucket):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=content.body,
                ContentType=CONTENT_TYPE,
                # Every storage checks this one, and a bucket with object lock insists on it.
                ContentMD5=base64.b64encode(hashlib.md5(content.body, usedforsecurity=False).digest()).decode(),
            )
        return StoredTranscript(uri=f"s3://{self._bucket}/{key}", size=len(content.body), sha256=content.sha256)

    def check_bucket(self) -> None:
        """Ask whether the bucket is there and open to us; whether it can be written only writing tells.

        Raises:
            TingxieError: as `store` does.
        """
        with _translated(self._bucket):
            # Not HEAD, whose answer has no room for the reason.
            self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)


@contextmanager
def _translated(bucket: str) -> Iterator[None]:
    """As `translated`, for a bucket that nobody's event but our own settings name."""
    setting = "set storage.transcript_bucket to another"
    try:
        with translated(f"transcript bucket {bucket}"):
            yield
    except RetryError as error:
        raise TranscriptNotStored(str(error)) from error
    except (ObjectMissing, EventInvalid) as error:
        raise TranscriptBucketMissing(f"{error}; create it or {setting}") from error
    except ObjectForbidden as error:
        raise TranscriptBucketForbidden(f"{error}; let these credentials write there or {setting}") from error
