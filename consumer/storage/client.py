"""The S3 client, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from consumer import __version__
from consumer.errors import UsageError
from consumer.settings import StorageSettings
from consumer.storage.failures import TRANSLATED, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn the client's errors into this program's.

    Args:
        name: of what is asked for, as messages name it.
    """
    try:
        yield
    except (*TRANSLATED, OSError) as error:
        raise translate(error, name) from error


def open_client(storage: StorageSettings, connections: int) -> S3Client:
    """Set up a client; no request is made. The caller closes it.

    Args:
        storage: whose settings to use.
        connections: most that are open at once.

    Raises:
        UsageError: the settings contradict each other or the client refuses them.
        CredentialsRefused: the AWS configuration names credentials that cannot be found.
    """
    if (storage.access_key_id is None) != (storage.secret_access_key is None):
        raise UsageError("storage.access_key_id and storage.secret_access_key go together: set both, or none of them")
    secret = storage.secret_access_key
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=storage.endpoint_url,
            region_name=storage.region,
            aws_access_key_id=storage.access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret is not None else None,
            config=Config(
                connect_timeout=storage.connect_timeout_s,
                read_timeout=storage.read_timeout_s,
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=connections,
                s3={"addressing_style": "path" if storage.path_style else "auto"},
                # Storages other than AWS often know no CRC trailers: neither ask for them nor insist on them.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                user_agent_extra=f"tingxie/{__version__}",
            ),
        )
    except TRANSLATED as error:
        raise translate(error, "storage") from error
    except ValueError as error:  # the client's word for an endpoint that is no URL
        raise UsageError(f"storage.endpoint_url: {error}; give an http(s) URL") from error
