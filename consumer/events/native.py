"""The native upload event: for programs that ask for a transcript themselves, with options and metadata.

Its ``key`` is the object's name as it is, never encoded. Unknown fields are ignored, so that a newer sender can talk
to an older service; unknown options are refused, since an option that is silently not honoured is a wrong transcript.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from consumer.events.fields import MAX_BUCKET, MAX_KEY, Fields, bare_etag, from_pydantic
from consumer.events.recording import Options, Recording
from consumer.events.upload import UploadEvent

BucketName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_BUCKET, pattern=r"^[^/\x00-\x1f]+$")]
ObjectKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY)]


def _first_fault(metadata: object) -> object:
    """Keep one entry to complain of where some are no strings: each takes memory, and an event may have any number."""
    entries = metadata.items() if isinstance(metadata, dict) else ()
    return next(({name: value} for name, value in entries if not isinstance(value, str)), metadata)


class NativeEvent(BaseModel):
    """One object to transcribe, and how."""

    model_config = ConfigDict(frozen=True, title="audio-uploaded.native.v1")

    id: str | None = Field(default=None, max_length=256, description="the sender's own id of this event")
    bucket: BucketName = Field(description="where the object lies")
    key: ObjectKey = Field(description="the object's name as the storage knows it, never URL-encoded")
    version_id: str | None = Field(default=None, description="a version of the object; the newest when absent")
    etag: str | None = Field(default=None, description="the object's ETag when the event was sent")
    options: Options = Field(default=Options(), description="how to transcribe")
    metadata: Annotated[dict[str, str], BeforeValidator(_first_fault)] = Field(
        default_factory=dict, description="copied through to the transcript"
    )


def parse(event: Fields) -> UploadEvent:
    """Read a native event; raises `EventInvalid` naming each field at fault."""
    try:
        native = NativeEvent.model_validate(event)
    except ValidationError as error:
        raise from_pydantic(error) from None
    recording = Recording(
        bucket=native.bucket,
        key=native.key,
        version_id=native.version_id or None,
        etag=bare_etag(native.etag),
        event_id=native.id or None,
        options=native.options,
        metadata=native.metadata,
    )
    return UploadEvent((recording,), (), "native")
