"""Which dialect a JSON object is written in, by its content; each dialect has a module of its own."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from consumer.errors import EventInvalid, EventNotJson, EventUnknown
from consumer.events import eventbridge, native, oss, s3
from consumer.events.fields import Fields, shorten, text_at
from consumer.events.upload import UploadEvent

Reader = Callable[[Fields], UploadEvent]

_SHOWN_FIELDS = 5

_DIALECTS: tuple[tuple[Callable[[Fields], bool], Reader], ...] = (
    (lambda event: "Records" in event, s3.parse),
    (lambda event: event.get("Event") == s3.TEST_EVENT, s3.parse_test_event),
    (lambda event: "events" in event, oss.parse),
    (eventbridge.is_eventbridge, eventbridge.parse),
    (lambda event: "eventName" in event and "s3" in event, s3.parse_record),
    (lambda event: "eventName" in event and "oss" in event, oss.parse_single),
    (lambda event: "bucket" in event or "key" in event, native.parse),
)
"""Most telling marks first: a native event may carry any field besides its own."""


def load(document: bytes | str) -> object:
    """Parse JSON; raises `EventNotJson` with the position of the fault."""
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError as error:
        # Without its cause: that holds the whole document.
        raise EventNotJson(f"the value is no JSON document: {error}") from None


def load_object(document: bytes | str) -> Fields:
    """Parse JSON that must be an object; raises `EventNotJson`, or `EventUnknown` for any other JSON value."""
    value = load(document)
    if not isinstance(value, dict):
        raise EventUnknown("the value is JSON, but no upload event: expected an object at the top")
    return value


def find(event: Fields) -> Reader | None:
    """The reader for the dialect a JSON object is written in; None when it is of none known here."""
    return next((reader for belongs, reader in _DIALECTS if belongs(event)), None)


def read(event: Fields) -> UploadEvent:
    """Read an event of any dialect but CloudEvents, also inside an SNS envelope.

    Raises:
        EventUnknown: it is of no dialect known here.
        EventInvalid: a field is missing or has an impossible value.
    """
    if event.get("Type") == "Notification" and "Message" in event:
        event = _sns_message(event)
    reader = find(event)
    if reader is None:
        raise unknown(event)
    return reader(event)


def unknown(event: Fields) -> EventUnknown:
    """The error for an object of no dialect: what was looked for, and the first field names that were found."""
    found = ", ".join(shorten(name) for name in list(event)[:_SHOWN_FIELDS]) or "none"
    more = "…" if len(event) > _SHOWN_FIELDS else ""
    return EventUnknown(
        "no upload event: expected Records (S3), events (OSS), specversion (CloudEvents), or bucket and key (native); "
        f"its fields are {found}{more}"
    )


def _sns_message(envelope: Fields) -> Fields:
    """What Amazon SNS delivered: the notification is JSON in a string."""
    try:
        return load_object(text_at(envelope, "Message"))
    except EventNotJson:
        raise EventInvalid("Message: expected the JSON of a notification in this SNS envelope") from None
