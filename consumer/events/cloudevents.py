"""Upload events in a CloudEvents 1.0 envelope, in both modes of the Kafka protocol binding.

Binary mode: attributes are ``ce_`` headers, the value is the data. Structured mode: the value is one JSON object with
the attributes (``specversion`` among them) and ``data`` or ``data_base64``.

The data may be an event of any other dialect. Where it names no object, the ``subject`` does, as ``bucket/key`` or
``s3://bucket/key``; options and metadata in the data still count.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from consumer.errors import EventInvalid, EventUnknown
from consumer.events import dialects, native
from consumer.events.fields import Fields, invalid, optional_text_at
from consumer.events.headers import CE_PREFIX, CONTENT_TYPE, Headers, last
from consumer.events.upload import Skipped, UploadEvent

OWN_TYPES = "tingxie."
"""What this service publishes starts so; reading it back as an upload would go round in circles."""

_REMOVAL = re.compile(r"remov|delet", re.IGNORECASE)
_JSON_TYPE = re.compile(r"\s*[^;]*[/+]json\s*(;.*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Attributes:
    specversion: str | None
    id: str | None
    type: str | None
    subject: str | None
    content_type: str | None


def is_binary(headers: Headers) -> bool:
    """Whether a record's headers carry a CloudEvents envelope."""
    return last(headers, f"{CE_PREFIX}specversion") is not None


def is_structured(event: Fields) -> bool:
    """Whether a JSON object is a CloudEvents envelope."""
    return "specversion" in event


def parse_binary(value: bytes | None, headers: Headers) -> UploadEvent:
    """Read a record with ``ce_`` headers; raises `EventNotJson`, `EventUnknown` or `EventInvalid`."""
    attributes = _Attributes(
        specversion=_header(headers, f"{CE_PREFIX}specversion"),
        id=_header(headers, f"{CE_PREFIX}id"),
        type=_header(headers, f"{CE_PREFIX}type"),
        subject=_header(headers, f"{CE_PREFIX}subject"),
        content_type=_header(headers, CONTENT_TYPE) or _header(headers, f"{CE_PREFIX}datacontenttype"),
    )
    data = None
    if value and not (attributes.subject and _is_foreign(attributes.content_type)):
        data = dialects.load(value)
        if isinstance(data, dict) and is_structured(data):
            return parse_structured(data)
    return _read(attributes, data)


def parse_structured(event: Fields) -> UploadEvent:
    """Read a JSON object with ``specversion``; raises `EventUnknown` or `EventInvalid`."""
    attributes = _Attributes(
        specversion=optional_text_at(event, "specversion"),
        id=optional_text_at(event, "id"),
        type=optional_text_at(event, "type"),
        subject=optional_text_at(event, "subject"),
        content_type=optional_text_at(event, "datacontenttype"),
    )
    data = event.get("data")
    encoded = optional_text_at(event, "data_base64")
    if data is None and encoded is not None:
        try:
            data = dialects.load(base64.b64decode(encoded, validate=True))
        except ValueError:
            # Of which binascii.Error is one; text outside ASCII is another.
            raise EventInvalid("data_base64: expected base64") from None
    if isinstance(data, str):
        data = None if attributes.subject and _is_foreign(attributes.content_type) else dialects.load(data)
    return _read(attributes, data)


def _read(attributes: _Attributes, data: object) -> UploadEvent:
    if attributes.specversion is None or not attributes.specversion.startswith("1."):
        raise EventInvalid("specversion: expected a CloudEvents version 1.x")
    if attributes.type is not None and attributes.type.startswith(OWN_TYPES):
        raise EventUnknown("type: expected an upload event, this is one that this service publishes")
    if data is not None and not isinstance(data, dict):
        raise invalid("data", "an object", data)
    if data and (reader := dialects.find(data)) is not None:
        if reader is native.parse and (skipped := _removal(attributes)) is not None:
            return skipped
        event = reader(data)
    elif attributes.subject is not None:
        if (skipped := _removal(attributes)) is not None:
            return skipped
        bucket, key = _split_subject(attributes.subject)
        event = native.parse({**(data or {}), "bucket": bucket, "key": key})
    elif data:
        raise dialects.unknown(data)
    else:
        raise EventInvalid("subject: expected bucket/key in this CloudEvent without data")
    recordings = tuple(
        recording if recording.event_id else recording.model_copy(update={"event_id": attributes.id})
        for recording in event.recordings
    )
    return UploadEvent(recordings, event.skipped, "cloudevents")


def _removal(attributes: _Attributes) -> UploadEvent | None:
    """The outcome for an envelope whose type says that the object is gone."""
    if attributes.type is None or not _REMOVAL.search(attributes.type):
        return None
    return UploadEvent((), (Skipped("removed", attributes.type, attributes.subject),), "cloudevents")


def _split_subject(subject: str) -> tuple[str, str]:
    bucket, slash, key = subject.removeprefix("s3://").partition("/")
    if not bucket or not slash or not key:
        raise EventInvalid("subject: expected bucket/key in this CloudEvent, since its data names no object")
    return bucket, key


def _is_foreign(content_type: str | None) -> bool:
    """Whether the data says of itself that it is no JSON."""
    return content_type is not None and _JSON_TYPE.fullmatch(content_type) is None


def _header(headers: Headers, name: str) -> str | None:
    value = last(headers, name)
    if value is None:
        return None
    try:
        return value.decode() or None
    except UnicodeDecodeError:
        raise EventInvalid(f"header {name}: expected UTF-8 text") from None
