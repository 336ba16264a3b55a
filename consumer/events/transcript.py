"""The outgoing event ``tingxie.transcript.ready.v1``: its value, its id, and its CloudEvents headers."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from consumer.events.fields import bare_etag
from consumer.events.headers import CONTENT_TYPE, REPLAY, TRACEPARENT, is_traceparent
from consumer.events.recording import Recording

CE_TYPE = "tingxie.transcript.ready.v1"
ID_SCHEME = "tingxie.transcript.v1"
"""First thing that goes into an id's hash; a change of what else goes in must change it."""

Milliseconds = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Part(BaseModel):
    """A part of a transcript. Unknown fields are ignored when one is read: a newer service may send more."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Source(Part):
    """The object that was transcribed, and what was found in it."""

    bucket: str = Field(description="where the object lies")
    key: str = Field(description="its name, never URL-encoded")
    version_id: str | None = Field(default=None, description="its version, in a bucket that keeps versions")
    etag: str = Field(description="its ETag as fetched, without quotes")
    size: int = Field(ge=0, description="bytes")
    format: str = Field(description="container, as FFmpeg names it")
    codec: str = Field(description="audio codec, as FFmpeg names it")
    sample_rate: int = Field(ge=0, description="of the recording, Hz")
    channels: int = Field(ge=0, description="of the recording")


class Word(Part):
    """One Chinese character, or one word of another language."""

    text: str = Field(description="without punctuation")
    start_ms: Milliseconds = Field(description="from the start of the recording")
    end_ms: Milliseconds = Field(description="from the start of the recording")


class Segment(Part):
    """A sentence, or a stretch of speech between two pauses."""

    id: int = Field(ge=0, description="position in the transcript, from 0")
    channel: int = Field(ge=0, description="of the recording; 0 where channels are mixed")
    start_ms: Milliseconds = Field(description="from the start of the recording")
    end_ms: Milliseconds = Field(description="from the start of the recording")
    text: str = Field(description="with punctuation")
    confidence: Probability = Field(description="mean probability of its words, 0 to 1")
    words: tuple[Word, ...] = Field(default=(), description="empty unless the upload asked for word timestamps")


class Model(Part):
    """Which models made the transcript."""

    name: str = Field(description="of the recogniser")
    revision: str = Field(description="of the recogniser")
    vad: str = Field(description="voice activity detection, with its revision")
    punctuation: str = Field(description="punctuation, with its revision; empty when there is none")
    dtype: str = Field(description="number format the recogniser ran in")


class Timing(Part):
    """Where the time went."""

    queued_ms: Milliseconds = Field(description="from the upload event's record to its being taken up")
    fetch_ms: Milliseconds = Field(description="fetching the object")
    decode_ms: Milliseconds = Field(description="decoding the audio")
    engine_ms: Milliseconds = Field(description="recognising it")
    total_ms: Milliseconds = Field(description="from the upload event's record to this transcript")


class Transcript(Part):
    """A transcript, or the news that nobody spoke."""

    model_config = ConfigDict(title="transcript-ready.v1")

    id: str = Field(
        min_length=1,
        description="the same for the same object version, options and model: to drop duplicates by",
    )
    status: Literal["completed", "no_speech"] = Field(description="no_speech: silence, noise or music; text is empty")
    source: Source
    duration_ms: Milliseconds = Field(description="of the audio")
    speech_ms: Milliseconds = Field(description="of that, speech")
    language: str = Field(description="BCP 47 language tag")
    text: str = Field(
        description="all that was said, with punctuation; empty, with a warning, when it is too large for an event"
    )
    confidence: Probability = Field(description="mean probability of all words, 0 to 1; 0 when nobody spoke")
    segments: tuple[Segment, ...] = Field(
        default=(), description="empty when the upload asked for no timestamps, or the transcript is stored elsewhere"
    )
    transcript_uri: str | None = Field(
        default=None,
        description="where the whole transcript is stored when it is too large for an event: s3://bucket/key",
    )
    transcript_size: int | None = Field(default=None, ge=0, description="bytes at transcript_uri")
    transcript_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="of the bytes at transcript_uri"
    )
    exports: dict[str, str] = Field(default_factory=dict, description="URI of each file that was asked for, by format")
    model: Model
    timing: Timing = Field(description="of this event's run; all zero in a stored transcript")
    metadata: dict[str, str] = Field(default_factory=dict, description="copied from the upload event")
    warnings: tuple[str, ...] = Field(default=(), description="what was survived or could not be honoured")

    @property
    def object_id(self) -> str:
        """``bucket/key``: the key of the Kafka record."""
        return f"{self.source.bucket}/{self.source.key}"

    def to_bytes(self) -> bytes:
        """The value of the Kafka record: UTF-8 JSON, every field written out."""
        return orjson.dumps(self.model_dump(mode="json"))


def transcript_id(recording: Recording, etag: str, version_id: str | None, model_revision: str) -> str:
    """A transcript's id: the same whenever the same bytes are transcribed the same way.

    It is the first 128 bits, in hexadecimal, of the SHA-256 of a JSON list: scheme, bucket, key, version, options
    that differ from their defaults (so a new option leaves old ids alone) with sorted names, model revision. The
    version is the version id, or the ETag where the bucket keeps none (S3 then says ``null``).

    Args:
        recording: what the event asked for.
        etag: of the object as fetched; quotes do not matter.
        version_id: of the object as fetched.
        model_revision: which recogniser, down to its weights.
    """
    versioned = version_id is not None and version_id not in ("", "null")
    parts = [
        ID_SCHEME,
        recording.bucket,
        recording.key,
        f"version:{version_id}" if versioned else f"etag:{bare_etag(etag) or ''}",
        recording.options.model_dump(mode="json", exclude_defaults=True),
        model_revision,
    ]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def cloud_event_headers(
    transcript: Transcript, source: str, time: datetime, traceparent: str | None, replay: str | None = None
) -> list[tuple[str, bytes]]:
    """The Kafka headers of a transcript: CloudEvents 1.0 in binary mode, values in UTF-8.

    Args:
        transcript: the event's data.
        source: ``ce_source``, a URI reference that names this service.
        time: when the transcript was made; must know its time zone.
        traceparent: the upload event's trace context, carried through when it is valid.
        replay: id of the replay that sent the upload event again; None when it was none.

    Raises:
        ValueError: ``time`` has no time zone.
    """
    if time.tzinfo is None:
        raise ValueError("time: expected a datetime with a time zone")
    stamp = time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    values = {
        "ce_specversion": "1.0",
        "ce_id": transcript.id,
        "ce_type": CE_TYPE,
        "ce_source": source,
        "ce_subject": transcript.object_id,
        "ce_time": stamp,
        CONTENT_TYPE: "application/json",
    }
    if traceparent is not None and is_traceparent(traceparent):
        values[TRACEPARENT] = traceparent
    if replay is not None:
        values[REPLAY] = replay
    return [(name, value.encode()) for name, value in values.items()]
