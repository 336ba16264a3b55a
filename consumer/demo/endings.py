"""What the topics say about the recordings, read from the records themselves."""

from __future__ import annotations

from consumer.demo.samples import Ending
from consumer.errors import RecordingError
from consumer.events.deadletter import DeadLetter
from consumer.events.parse import parse
from consumer.events.transcript import Transcript
from consumer.kafka.records import Record
from consumer.settings import TopicSettings


def ending(record: Record, topics: TopicSettings) -> tuple[str, Ending] | None:
    """The object's key and how it ended; None for a dead letter that is about no object, and for other topics."""
    if record.topic == topics.transcripts:
        transcript = Transcript.model_validate_json(record.value or b"")
        return transcript.source.key, Ending(transcript.status, text=transcript.text)
    if record.topic == topics.dead_letters:
        key = _key(record)
        letter = DeadLetter.from_headers(record.headers)
        return None if key is None else (key, Ending("dead-letter", error_class=letter.code or ""))
    return None


def _key(record: Record) -> str | None:
    """Which object a dead letter is about: its value is the upload event itself."""
    try:
        event = parse(record.value, record.headers)
    except RecordingError:
        return None
    return event.recordings[0].key if event.recordings else None
