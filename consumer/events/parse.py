"""The one way in: from a Kafka record's value and headers to what should be transcribed."""

from __future__ import annotations

from consumer.errors import EventInvalid, EventNotJson
from consumer.events import cloudevents, dialects
from consumer.events.headers import FOR_MODEL, MOST_REVISION, RECORDING, Headers, text
from consumer.events.recording import Recording
from consumer.events.upload import Dialect, Skipped, SkipReason, UploadEvent

__all__ = ["Dialect", "SkipReason", "Skipped", "UploadEvent", "parse"]


def parse(value: bytes | None, headers: Headers) -> UploadEvent:
    """Read an upload event of any dialect.

    A record with the header ``tingxie-recording`` is about that recording alone: all others are left out. Several
    notices of one object version become one recording, with what the last of them says.

    Raises:
        EventNotJson: the value is empty or no JSON document.
        EventUnknown: it is JSON, but of no dialect known here.
        EventInvalid: a field is missing or has an impossible value, or the header names no recording of the event.
    """
    event = _read(value, headers)
    recordings = _distinct(event.recordings)
    skipped = event.skipped
    only = text(headers, RECORDING)
    if only is not None:
        recordings = tuple(recording for recording in recordings if recording.object_id == only)
        skipped = ()
        if not recordings:
            raise EventInvalid(
                f"header {RECORDING}: expected bucket/key of a recording in this event, it has none such"
            )
    if (for_model := text(headers, FOR_MODEL)) is not None:
        recordings = tuple(
            recording.model_copy(update={"for_model": for_model[:MOST_REVISION]}) for recording in recordings
        )
    return UploadEvent(recordings, skipped, event.dialect)


def _read(value: bytes | None, headers: Headers) -> UploadEvent:
    binary = cloudevents.is_binary(headers)
    if not value and not binary:
        raise EventNotJson("the value is empty, expected the JSON of an upload event")
    if binary:
        return cloudevents.parse_binary(value, headers)
    event = dialects.load_object(value or b"")
    if cloudevents.is_structured(event):
        return cloudevents.parse_structured(event)
    return dialects.read(event)


def _distinct(recordings: tuple[Recording, ...]) -> tuple[Recording, ...]:
    """One recording for each object version, in the order of their first mention."""
    latest = {(recording.bucket, recording.key, recording.version_id): recording for recording in recordings}
    return tuple(latest.values())
