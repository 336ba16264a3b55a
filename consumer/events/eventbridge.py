"""S3 events that came through Amazon EventBridge: ``source`` is ``aws.s3``, the object is in ``detail``.

Unlike in S3's own notifications the key is plain, the ETag is spelt ``etag`` and the version ``version-id``.
"""

from __future__ import annotations

from consumer.events.fields import (
    Fields,
    bare_etag,
    bucket_at,
    check_key,
    object_at,
    optional_text_at,
    size_at,
    text_at,
)
from consumer.events.recording import Recording
from consumer.events.upload import Skipped, SkipReason, UploadEvent

CREATED = "Object Created"


def is_eventbridge(event: Fields) -> bool:
    """Whether this is an EventBridge envelope of an S3 event."""
    return event.get("source") == "aws.s3" and "detail-type" in event


def parse(event: Fields) -> UploadEvent:
    """Read the envelope; raises `EventInvalid` naming the field at fault."""
    name = text_at(event, "detail-type")
    if name != CREATED:
        reason: SkipReason = "removed" if name == "Object Deleted" else "not_an_upload"
        return UploadEvent((), (Skipped(reason, name),), "eventbridge")
    detail = object_at(event, "detail")
    bucket = bucket_at(object_at(detail, "bucket", "detail."), "name", "detail.bucket.")
    where = "detail.object."
    stored = object_at(detail, "object", "detail.")
    key = check_key(text_at(stored, "key", where), f"{where}key")
    size = size_at(stored, "size", where)
    if size == 0 and key.endswith("/"):
        return UploadEvent((), (Skipped("folder_marker", name, f"{bucket}/{key}"),), "eventbridge")
    recording = Recording(
        bucket=bucket,
        key=key,
        version_id=optional_text_at(stored, "version-id", where),
        etag=bare_etag(optional_text_at(stored, "etag", where)),
        size=size,
        event_id=optional_text_at(event, "id"),
    )
    return UploadEvent((recording,), (), "eventbridge")
