"""What an upload event comes to, whatever dialect it was written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from consumer.events.recording import Recording

SkipReason = Literal[
    "removed", "test_event", "folder_marker", "incomplete_upload", "not_an_upload", "stored_transcript"
]
"""Why a well-formed event asks for no transcript; a metric label, so the set is closed."""

Dialect = Literal["s3", "s3-aws", "s3-minio", "s3-versitygw", "s3-ceph", "eventbridge", "oss", "cloudevents", "native"]
"""Who wrote the event, as far as its content tells; ``s3`` alone is an S3 notification of an unknown emitter."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """One part of an event that asks for no transcript.

    Attributes:
        reason: why.
        event: what the emitter calls it (``s3:ObjectRemoved:Delete``).
        object_id: ``bucket/key`` as far as the event names it, else None.
    """

    reason: SkipReason
    event: str
    object_id: str | None = None


@dataclass(frozen=True, slots=True)
class UploadEvent:
    """A Kafka record's worth of uploads.

    Attributes:
        recordings: what to transcribe, each object version once; may be empty when all was skipped.
        skipped: what to count and forget.
        dialect: how the event was written.
    """

    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...]
    dialect: Dialect
