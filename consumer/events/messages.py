"""The topics, the messages on them, and the examples of each: what the AsyncAPI document is made from.

Schemas of messages that this program defines are files beside the document. What others define (S3, OSS, CloudEvents)
is described here as far as it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consumer.events.fields import MAX_BUCKET, MAX_KEY
from consumer.events.headers import REPLAY, TRACEPARENT, TRACESTATE
from consumer.events.transcript import CE_TYPE
from consumer.events.upload import Dialect

Json = dict[str, Any]

NATIVE = "audio-uploaded.native.v1.schema.json"
TRANSCRIPT = "transcript-ready.v1.schema.json"
DEAD_LETTER = "dead-letter-headers.v1.schema.json"

TEXT: Json = {"type": "string"}
_BUCKET: Json = {"type": "string", "minLength": 1, "maxLength": MAX_BUCKET}
_KEY: Json = {"type": "string", "minLength": 1}
_SIZE: Json = {"type": ["integer", "null"], "minimum": 0}
_OPTIONAL_TEXT: Json = {"type": ["string", "null"]}


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of record on a topic.

    Attributes:
        channel: the topic's default name.
        summary: one line about it.
        payload: JSON Schema of the value, or a reference to one.
        headers: JSON Schema of the headers, or a reference to one.
        content_type: of the value.
    """

    channel: str
    summary: str
    payload: Json
    headers: Json | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Example:
    """A record in ``examples/``.

    Attributes:
        message: the message it is one of.
        dialect: as which it is parsed; None for what this service sends.
        enveloped: whether the file holds ``headers`` and ``value``; otherwise it is the value alone.
    """

    message: str
    dialect: Dialect | None = None
    enveloped: bool = False


def _object(required: Sequence[str], properties: Json, **more: Any) -> Json:
    return {"type": "object", "required": list(required), "properties": properties, **more}


def _reference(name: str) -> Json:
    return {"$ref": f"./{name}"}


_S3_RECORD = _object(
    ["eventName", "s3"],
    {
        "eventSource": TEXT | {"description": "who wrote it, and so whether the key is form-encoded"},
        "eventName": TEXT | {"description": "ObjectCreated:* is transcribed, all else skipped"},
        "s3": _object(
            ["bucket", "object"],
            {
                "bucket": _object(["name"], {"name": _BUCKET}),
                "object": _object(
                    ["key"], {"key": _KEY, "size": _SIZE, "eTag": _OPTIONAL_TEXT, "versionId": _OPTIONAL_TEXT}
                ),
            },
        ),
    },
)

_OSS_EVENT = _object(
    ["eventName", "oss"],
    {
        "eventName": TEXT | {"description": "ObjectCreated:* is transcribed, all else skipped"},
        "oss": _object(
            ["bucket", "object"],
            {
                "bucket": _object(["name"], {"name": _BUCKET}),
                "object": _object(
                    ["key"], {"key": _KEY | {"maxLength": MAX_KEY}, "size": _SIZE, "eTag": _OPTIONAL_TEXT}
                ),
            },
        ),
    },
)

_CE_HEADERS: Json = {
    "ce_specversion": {"type": "string", "pattern": r"^1\."},
    "ce_id": TEXT | {"minLength": 1},
    "ce_type": TEXT | {"minLength": 1},
    "ce_source": {"type": "string", "format": "uri-reference", "minLength": 1},
}

MESSAGES: dict[str, Message] = {
    "native": Message("audio-uploaded", "An upload, told by a program", _reference(NATIVE)),
    "s3": Message(
        "audio-uploaded",
        "Event notification of S3 or a storage that speaks its protocol",
        _object(["Records"], {"Records": {"type": "array", "minItems": 1, "items": _S3_RECORD}}),
    ),
    "s3TestEvent": Message(
        "audio-uploaded",
        "What S3 sends when a notification is configured; skipped",
        _object(["Event"], {"Event": {"const": "s3:TestEvent"}, "Service": TEXT, "Bucket": TEXT}),
    ),
    "eventBridge": Message(
        "audio-uploaded",
        "S3 event that came through Amazon EventBridge",
        _object(
            ["source", "detail-type", "detail"],
            {
                "source": {"const": "aws.s3"},
                "detail-type": TEXT | {"description": "Object Created is transcribed, all else skipped"},
                "detail": _object(
                    ["bucket", "object"],
                    {
                        "bucket": _object(["name"], {"name": _BUCKET}),
                        "object": _object(["key"], {"key": _KEY, "size": _SIZE, "etag": _OPTIONAL_TEXT}),
                    },
                ),
            },
        ),
    ),
    "oss": Message(
        "audio-uploaded",
        "Event notification of Alibaba Cloud OSS",
        _object(["events"], {"events": {"type": "array", "minItems": 1, "items": _OSS_EVENT}}),
    ),
    "cloudEventStructured": Message(
        "audio-uploaded",
        "CloudEvent in structured mode around any of the others",
        _object(
            ["specversion", "id", "source", "type"],
            {
                "specversion": {"type": "string", "pattern": r"^1\."},
                "id": TEXT | {"minLength": 1},
                "source": {"type": "string", "format": "uri-reference", "minLength": 1},
                "type": TEXT | {"minLength": 1},
                "subject": TEXT | {"description": "bucket/key, where the data names no object"},
                "data": {"description": "an event of any other dialect"},
            },
        ),
        content_type="application/cloudevents+json",
    ),
    "cloudEventBinary": Message(
        "audio-uploaded",
        "CloudEvent in binary mode: an event of any other dialect with ce_ headers",
        {"type": "object"},
        _object(
            list(_CE_HEADERS),
            _CE_HEADERS | {"ce_subject": TEXT | {"description": "bucket/key, where the value names no object"}},
        ),
    ),
    "transcript": Message(
        "transcript-ready",
        "A transcript, where it is stored, or the news that nobody spoke",
        _reference(TRANSCRIPT),
        _object(
            [*_CE_HEADERS, "ce_subject", "ce_time", "content-type"],
            _CE_HEADERS
            | {
                "ce_specversion": {"const": "1.0"},
                "ce_type": {"const": CE_TYPE},
                "ce_subject": TEXT | {"description": "bucket/key"},
                "ce_time": {"type": "string", "format": "date-time"},
                "content-type": {"const": "application/json"},
                TRACEPARENT: TEXT
                | {"description": "of the upload event, when it had one; with traces, of what published it"},
                TRACESTATE: TEXT | {"description": "with traces: of the upload event, when it had one"},
                REPLAY: TEXT | {"description": "id of the replay that sent the upload event again, when one did"},
            },
        ),
    ),
    "deadLetter": Message(
        "audio-uploaded.dead-letter",
        "An upload event that came to nothing: its original bytes, and why",
        {"description": "the original value, whatever it is"},
        _reference(DEAD_LETTER),
        content_type="application/octet-stream",
    ),
}

CHANNELS: dict[str, tuple[str, str, str]] = {
    "audio-uploaded": (
        "Recordings that landed in object storage",
        "receive",
        "any; records with equal keys keep order",
    ),
    "transcript-ready": ("Transcripts", "send", "bucket/key"),
    "audio-uploaded.dead-letter": ("Upload events that cannot be transcribed", "send", "the original key"),
}
"""For each topic: what it holds, what this service does with it, and the key of its records."""

EXAMPLES: dict[str, Example] = {
    "native": Example("native", "native"),
    "s3-aws": Example("s3", "s3-aws"),
    "s3-minio": Example("s3", "s3-minio"),
    "s3-versitygw": Example("s3", "s3-versitygw"),
    "s3-ceph": Example("s3", "s3-ceph"),
    "s3-test-event": Example("s3TestEvent", "s3"),
    "eventbridge": Example("eventBridge", "eventbridge"),
    "oss": Example("oss", "oss"),
    "cloudevents-structured": Example("cloudEventStructured", "cloudevents"),
    "cloudevents-binary": Example("cloudEventBinary", "cloudevents", enveloped=True),
    "transcript-ready-completed": Example("transcript", enveloped=True),
    "transcript-ready-no-speech": Example("transcript", enveloped=True),
    "transcript-ready-stored": Example("transcript", enveloped=True),
    "dead-letter": Example("deadLetter", enveloped=True),
}


def messages_of(channel: str) -> list[str]:
    """Names of the messages on a topic."""
    return [name for name, message in MESSAGES.items() if message.channel == channel]
