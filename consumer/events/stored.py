"""Transcripts too large for an event: the document that is stored, and the event that says where it lies. Pure.

A document is named by its own SHA-256, so that writing it again changes nothing and an event never points at other
bytes than those it was sent with. For the same reason the times of one run are left out of it: the same upload,
transcribed once more, comes to the same bytes. The event tells the times.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from consumer.events.headers import MOST_REPLAY_ID
from consumer.events.transcript import Timing, Transcript, cloud_event_headers
from consumer.events.upload import Skipped, UploadEvent

CONTENT_TYPE = "application/json"
NO_TIMING = Timing(queued_ms=0, fetch_ms=0, decode_ms=0, engine_ms=0, total_ms=0)

FRAMING = 100
"""Bytes, rounded up, that lengths, offset and time of a record take beside its content, and the head of a batch."""

HEADER_FRAMING = 10
"""Most bytes that the two lengths of a header take."""

ANY_TIME = datetime(2000, 1, 1, tzinfo=timezone.utc)
ANY_TRACEPARENT = f"00-{'1' * 32}-{'1' * 16}-01"
ANY_REPLAY = "x" * MOST_REPLAY_ID
"""Measured whether an upload has them or not."""

TEXT_STORED = "text: too large for an event; the transcript at transcript_uri holds it"

_NAME = re.compile(r"[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class Document:
    """A whole transcript as it is stored.

    Attributes:
        body: UTF-8 JSON; a transcript-ready.v1 without the times of one run.
        sha256: of the body, in hexadecimal.
    """

    body: bytes
    sha256: str

    def key(self, prefix: str) -> str:
        """The object's name under a prefix."""
        return f"{prefix}{self.sha256}.json"


@dataclass(frozen=True, slots=True)
class StoredTranscript:
    """Where a document lies.

    Attributes:
        uri: ``s3://bucket/key``, the key as it is.
        size: bytes.
        sha256: of those bytes, in hexadecimal.
    """

    uri: str
    size: int
    sha256: str


def document(transcript: Transcript) -> Document:
    """What to store of a transcript."""
    body = transcript.model_copy(update={"timing": NO_TIMING}).to_bytes()
    return Document(body, hashlib.sha256(body).hexdigest())


def reference(transcript: Transcript, stored: StoredTranscript, *, text: bool) -> Transcript:
    """The event that stands for a stored transcript: no segments, and its text only if it is wanted.

    Args:
        transcript: the whole.
        stored: where it lies.
        text: keep ``text``; otherwise it is empty and a warning says so.
    """
    changes = {
        "segments": (),
        "transcript_uri": stored.uri,
        "transcript_size": stored.size,
        "transcript_sha256": stored.sha256,
    }
    if not text and transcript.text:
        changes |= {"text": "", "warnings": (*transcript.warnings, TEXT_STORED)}
    return transcript.model_copy(update=changes)


def record_bytes(transcript: Transcript, ce_source: str) -> int:
    """Bytes that a transcript takes as a Kafka record, uncompressed, rounded up.

    Args:
        transcript: its value.
        ce_source: as its headers have it.
    """
    headers = cloud_event_headers(
        transcript, source=ce_source, time=ANY_TIME, traceparent=ANY_TRACEPARENT, replay=ANY_REPLAY
    )
    return (
        FRAMING
        + len(transcript.object_id.encode())
        + len(transcript.to_bytes())
        + sum(HEADER_FRAMING + len(name) + len(value) for name, value in headers)
    )


def without_documents(event: UploadEvent, bucket: str, prefix: str) -> UploadEvent:
    """The event with stored transcripts skipped: a bucket that holds recordings too announces them as uploads.

    Args:
        event: what a bucket announced.
        bucket: where transcripts are stored; empty when none are.
        prefix: of their keys.
    """
    own = [
        each
        for each in event.recordings
        if bucket and each.bucket == bucket and each.key.startswith(prefix) and _NAME.fullmatch(each.key[len(prefix) :])
    ]
    if not own:
        return event
    return replace(
        event,
        recordings=tuple(each for each in event.recordings if each not in own),
        skipped=(*event.skipped, *(Skipped("stored_transcript", "stored", each.object_id) for each in own)),
    )
