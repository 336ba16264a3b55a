"""S3 event notifications, as AWS and the storages that speak its protocol write them.

All share one shape (``Records`` of ``eventName`` and ``s3.bucket``/``s3.object``), but not the spelling of the key:
some write it form-encoded (a space is ``+``, all else ``%XX``), some as it is. Decoding a plain key, or not decoding
an encoded one, names another object. So the emitter decides, and is told by what only it writes:

1. ``minio:s3`` or ``rustfs:s3`` as ``eventSource``, or ``EventName`` and ``Key`` beside ``Records``: MinIO and its
   relatives. Form-encoded, slashes too.
2. ``ceph:s3`` as ``eventSource``: Ceph RGW. Plain (``rgw_pubsub_s3_event::dump`` writes the object's name as it is).
3. ``aws:s3`` with ``s3:`` before the event's name (which AWS never writes), and either one of its fixed
   ``configurationId`` values or ``userIdentity.PrincipalId`` with a capital P: versitygw. Plain. Its sizes of copies
   and multipart uploads are always 0, and so are not believed; its ETags carry quotes.
4. ``aws:s3`` without ``s3:``: AWS, documented as form-encoded, slashes kept.
5. Anything else: an emitter unknown here that follows the documentation of AWS, so form-encoded.

Where an encoded key is expected (1, 4, 5), what cannot be the work of an encoder is left as it is: text with a
space, a character outside printable ASCII, a stray ``%``, another mark that every encoder escapes, or escapes that are
not UTF-8. That makes unknown emitters of plain keys right wherever their keys prove it.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote_plus

from consumer.events.fields import (
    Fields,
    as_object,
    bare_etag,
    bucket_at,
    check_key,
    list_at,
    object_at,
    optional_text_at,
    size_at,
    text_at,
)
from consumer.events.recording import Recording
from consumer.events.upload import Dialect, Skipped, SkipReason, UploadEvent

TEST_EVENT = "s3:TestEvent"

Emitter = Literal["s3", "s3-aws", "s3-minio", "s3-versitygw", "s3-ceph"]

# A tuple: what is looked up in it is foreign JSON, and need not be hashable.
_VERSITYGW_CONFIGURATIONS = ("kafka-global", "nats-global", "webhook-global", "rabbitmq-global")
_PLAIN_KEYS: frozenset[Emitter] = frozenset({"s3-versitygw", "s3-ceph"})

_METADATA_CHANGES = frozenset({"PutRetention", "PutLegalHold", "PutTagging", "DeleteTagging"})
"""MinIO names these ``ObjectCreated:…`` too, although the object's bytes stay what they were."""

_NEVER_ENCODED = re.compile(r"[^!-~]|[\"#&<>?\\^`{|}]|%(?![0-9A-Fa-f]{2})")


def parse(event: Fields) -> UploadEvent:
    """Read a notification with ``Records``; raises `EventInvalid` naming the record and field at fault."""
    names_key = isinstance(event.get("EventName"), str) and isinstance(event.get("Key"), str)
    results = []
    dialects: list[Dialect] = []
    for position, entry in enumerate(list_at(event, "Records")):
        where = f"Records[{position}]"
        record = as_object(entry, where)
        emitter = "s3-minio" if names_key else emitter_of(record)
        dialects.append(emitter)
        results.append(_read(record, emitter, where + "."))
    return UploadEvent(
        recordings=tuple(result for result in results if isinstance(result, Recording)),
        skipped=tuple(result for result in results if isinstance(result, Skipped)),
        dialect=dialects[0],
    )


def parse_record(record: Fields) -> UploadEvent:
    """Read a single record outside of ``Records``, as some CloudEvents sources send it."""
    emitter = emitter_of(record)
    result = _read(record, emitter, "")
    if isinstance(result, Skipped):
        return UploadEvent((), (result,), emitter)
    return UploadEvent((result,), (), emitter)


def parse_test_event(event: Fields) -> UploadEvent:
    """What AWS sends when a notification is configured, and versitygw at each start: nothing was uploaded."""
    bucket = event.get("Bucket")
    return UploadEvent((), (Skipped("test_event", TEST_EVENT, bucket if isinstance(bucket, str) else None),), "s3")


def emitter_of(record: Fields) -> Emitter:
    """Who wrote a record, by the rules at the head of this module."""
    source = record.get("eventSource")
    if source in ("minio:s3", "rustfs:s3"):
        return "s3-minio"
    if source == "ceph:s3":
        return "s3-ceph"
    name = record.get("eventName")
    if source != "aws:s3" or not isinstance(name, str):
        return "s3"
    if not name.startswith("s3:"):
        return "s3-aws"
    details, identity = record.get("s3"), record.get("userIdentity")
    fixed_configuration = isinstance(details, dict) and details.get("configurationId") in _VERSITYGW_CONFIGURATIONS
    if fixed_configuration or (isinstance(identity, dict) and "PrincipalId" in identity):
        return "s3-versitygw"
    return "s3"


def decode_key(key: str) -> str:
    """Undo form encoding; text that no encoder could have written comes back as it is."""
    if _NEVER_ENCODED.search(key):
        return key
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return key


def _read(record: Fields, emitter: Emitter, where: str) -> Recording | Skipped:
    name = text_at(record, "eventName", where)
    reason = _skip_reason(name.removeprefix("s3:"))
    if reason is not None:
        return Skipped(reason, name, _object_id(record, emitter))

    details = object_at(record, "s3", where)
    bucket = bucket_at(object_at(details, "bucket", f"{where}s3."), "name", f"{where}s3.bucket.")
    where_object = f"{where}s3.object."
    stored = object_at(details, "object", f"{where}s3.")
    written = text_at(stored, "key", where_object)
    key = check_key(written if emitter in _PLAIN_KEYS else decode_key(written), f"{where_object}key")
    size = size_at(stored, "size", where_object)
    if size == 0 and key.endswith("/"):
        return Skipped("folder_marker", name, f"{bucket}/{key}")
    if size == 0 and emitter == "s3-versitygw" and not name.endswith(":Put"):
        size = None
    return Recording(
        bucket=bucket,
        key=key,
        version_id=optional_text_at(stored, "versionId", where_object),
        etag=bare_etag(optional_text_at(stored, "eTag", where_object)),
        size=size,
        event_id=optional_text_at(record, "eventId", where),
    )


def _skip_reason(name: str) -> SkipReason | None:
    """Why an event (named without ``s3:``) asks for no transcript; None when it does."""
    group, _, detail = name.partition(":")
    if group in ("ObjectRemoved", "LifecycleExpiration", "ObjectLifecycle"):
        return "removed"
    if group == "TestEvent":
        return "test_event"
    if group == "ObjectCreated" and detail not in _METADATA_CHANGES:
        return None
    # Ceph: the object arrived from another zone.
    if name == "ObjectSynced:Create":
        return None
    return "not_an_upload"


def _object_id(record: Fields, emitter: Emitter) -> str | None:
    """``bucket/key`` of a record that is skipped, whatever shape it is in."""
    details = record.get("s3")
    if not isinstance(details, dict):
        return None
    bucket, stored = details.get("bucket"), details.get("object")
    if not isinstance(bucket, dict) or not isinstance(stored, dict):
        return None
    name, key = bucket.get("name"), stored.get("key")
    if not isinstance(name, str) or not isinstance(key, str):
        return None
    return f"{name}/{key if emitter in _PLAIN_KEYS else decode_key(key)}"
