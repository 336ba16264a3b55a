"""Alibaba Cloud OSS event notifications: a list of ``events``, or one event by itself (as EventBridge sends it).

Keys are plain: Alibaba documents the field as the object's name, and its examples hand it to the SDK as it is. Parts
of an upload that is still going on are announced as ``ObjectCreated`` too; there is no object yet, so they are skipped.
"""

from __future__ import annotations

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
from consumer.events.upload import Skipped, SkipReason, UploadEvent

_INCOMPLETE = frozenset({"InitiateMultipartUpload", "UploadPart", "UploadPartCopy"})
_REPLICATED = frozenset({"ObjectReplication:ObjectCreated", "ObjectReplication:ObjectModified"})
"""An object arrived from another region, new or over an older one."""


def parse(event: Fields) -> UploadEvent:
    """Read a notification with ``events``; raises `EventInvalid` naming the event and field at fault."""
    results = []
    for position, entry in enumerate(list_at(event, "events")):
        where = f"events[{position}]"
        results.append(_read(as_object(entry, where), where + "."))
    return _upload_event(results)


def parse_single(event: Fields) -> UploadEvent:
    """Read one event outside of ``events``."""
    return _upload_event([_read(event, "")])


def _upload_event(results: list[Recording | Skipped]) -> UploadEvent:
    return UploadEvent(
        recordings=tuple(result for result in results if isinstance(result, Recording)),
        skipped=tuple(result for result in results if isinstance(result, Skipped)),
        dialect="oss",
    )


def _read(event: Fields, where: str) -> Recording | Skipped:
    name = text_at(event, "eventName", where)
    reason = _skip_reason(name.removeprefix("oss:"))
    if reason is not None:
        return Skipped(reason, name, _object_id(event))

    details = object_at(event, "oss", where)
    bucket = bucket_at(object_at(details, "bucket", f"{where}oss."), "name", f"{where}oss.bucket.")
    where_object = f"{where}oss.object."
    stored = object_at(details, "object", f"{where}oss.")
    key = check_key(text_at(stored, "key", where_object), f"{where_object}key")
    size = size_at(stored, "size", where_object)
    if size == 0 and key.endswith("/"):
        return Skipped("folder_marker", name, f"{bucket}/{key}")
    return Recording(
        bucket=bucket,
        key=key,
        version_id=optional_text_at(stored, "versionId", where_object),
        etag=bare_etag(optional_text_at(stored, "eTag", where_object)),
        size=size,
    )


def _skip_reason(name: str) -> SkipReason | None:
    """Why an event (named without ``oss:``) asks for no transcript; None when it does."""
    group, _, detail = name.partition(":")
    if group == "ObjectRemoved" or name == "ObjectReplication:ObjectRemoved":
        return "removed"
    if group == "ObjectCreated":
        return "incomplete_upload" if detail in _INCOMPLETE else None
    return None if name in _REPLICATED else "not_an_upload"


def _object_id(event: Fields) -> str | None:
    """``bucket/key`` of an event that is skipped, whatever shape it is in."""
    details = event.get("oss")
    if not isinstance(details, dict):
        return None
    bucket, stored = details.get("bucket"), details.get("object")
    if not isinstance(bucket, dict) or not isinstance(stored, dict):
        return None
    name, key = bucket.get("name"), stored.get("key")
    return f"{name}/{key}" if isinstance(name, str) and isinstance(key, str) else None
