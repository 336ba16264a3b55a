"""Which buckets there are: what ``tingxie check`` asks a storage about which no bucket is known."""

from __future__ import annotations

from contextlib import closing

from consumer.settings import StorageSettings
from consumer.storage.client import open_client, translated


def list_buckets(storage: StorageSettings) -> list[str]:
    """Names of all buckets that the credentials may see.

    Raises:
        UsageError: the settings contradict each other or the client refuses them.
        CredentialsRefused: the storage does not know the credentials.
        ObjectForbidden: it does, but lets them list no buckets.
        StorageUnavailable: it failed, or cannot be reached.
        StorageTimeout: it did not answer in time.
    """
    with closing(open_client(storage, connections=1)) as client, translated(storage.endpoint_url or "AWS"):
        return [bucket["Name"] for bucket in client.list_buckets().get("Buckets", [])]
