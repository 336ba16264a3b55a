"""An S3 bucket inside this process (moto), and the events that a bucket on AWS would emit for uploads to it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from urllib.parse import quote_plus

import orjson

from consumer.errors import UsageError
from consumer.storage.upload import Uploaded

HOST = "127.0.0.1"
REGION = "us-east-1"


@contextmanager
def embedded_storage() -> Iterator[str]:
    """An S3 server on a free port of this host, for as long as the context lasts; yields its URL.

    Raises:
        UsageError: the extra that brings the server is not installed.
    """
    try:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(
            f"the demo needs its embedded bucket, which is not installed ({error}): pip install 'tingxie[demo]'"
        ) from error
    # It would log every request, and sets its own level when nobody else has.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with _own_environment():
            yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def _own_environment() -> Iterator[None]:
    """Keeps a proxy, or an AWS profile of the user's that may not even exist, out of the way to this host's bucket."""
    before = dict(os.environ)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST)))
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def upload_event(bucket: str, key: str, uploaded: Uploaded, *, at: datetime, sequence: int) -> bytes:
    """The notification AWS S3 sends for a put: keys form-encoded, no prefix in the event's name.

    Args:
        bucket: its name.
        key: the object's name as the storage knows it.
        uploaded: what the storage answered.
        at: time of the upload, with a time zone.
        sequence: orders the events of one key; a bare counter will do.
    """
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": at.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "tingxie-demo"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "tingxie-demo",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "tingxie-demo"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": uploaded.size,
                "eTag": uploaded.etag,
                "sequencer": f"{sequence:018X}",
            },
        },
    }
    return orjson.dumps({"Records": [record]})
