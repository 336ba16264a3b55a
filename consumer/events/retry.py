"""Headers of a record in a retry topic: which recording waits, until when, and what became of it so far.

Value, key and all other headers are those of the upload event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from consumer.errors import RecordingError
from consumer.events.deadletter import NAMES
from consumer.events.headers import ATTEMPT, FIRST_SEEN, HISTORY, NOT_BEFORE, RECORDING, Headers, number, text

_ORIGINAL: Mapping[str, str] = {field: NAMES[f"original_{field}"] for field in ("topic", "partition", "offset")}


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to a recording before.

    Attributes:
        topic: in which its upload event was first read.
        partition: of that topic.
        offset: in that partition.
        first_seen_ms: when it was first taken up, epoch milliseconds.
        attempts: how often it was tried.
        history: how each round of tries ended, as JSON: a list of objects with attempts, class, stage, timestamp.
    """

    topic: str
    partition: int
    offset: int
    first_seen_ms: int
    attempts: int = 0
    history: bytes = b"[]"

    def failed(self, error: RecordingError, attempts: int, now_ms: int) -> Story:
        """The story with another round of tries that came to nothing.

        Args:
            error: why.
            attempts: tries in this round.
            now_ms: epoch milliseconds.
        """
        rounds = orjson.loads(self.history)
        rounds.append({"attempts": attempts, "class": error.code, "stage": error.stage, "timestamp": now_ms})
        return replace(self, attempts=self.attempts + attempts, history=orjson.dumps(rounds))


def read_story(headers: Headers, first: Story) -> Story:
    """The story that the headers of a record of a retry topic tell.

    Args:
        headers: of the record.
        first: what holds where they do not tell: the record as if it was read for the first time.
    """
    topic = text(headers, _ORIGINAL["topic"])
    partition, offset = number(headers, _ORIGINAL["partition"]), number(headers, _ORIGINAL["offset"])
    if topic and partition is not None and offset is not None:
        first = replace(first, topic=topic, partition=partition, offset=offset)
    return replace(
        first,
        first_seen_ms=number(headers, FIRST_SEEN) or first.first_seen_ms,
        attempts=number(headers, ATTEMPT) or 0,
        history=_rounds(text(headers, HISTORY)),
    )


def due_ms(headers: Headers) -> int:
    """When a record of a retry topic may be worked on, epoch milliseconds; 0 when its headers do not tell."""
    return number(headers, NOT_BEFORE) or 0


def retry_headers(original: Headers, story: Story, *, not_before_ms: int, recording_id: str | None) -> Headers:
    """Headers of a recording's next record, in a retry topic.

    Args:
        original: headers of the record that failed; those of the names below are replaced.
        story: of the recording, with this failure.
        not_before_ms: when it may be tried again, epoch milliseconds.
        recording_id: ``bucket/key`` where the event holds several; None leaves what the headers say.
    """
    told = {
        ATTEMPT: str(story.attempts).encode(),
        NOT_BEFORE: str(not_before_ms).encode(),
        FIRST_SEEN: str(story.first_seen_ms).encode(),
        HISTORY: story.history,
        _ORIGINAL["topic"]: story.topic.encode(),
        _ORIGINAL["partition"]: str(story.partition).encode(),
        _ORIGINAL["offset"]: str(story.offset).encode(),
    }
    if recording_id is not None:
        told[RECORDING] = recording_id.encode()
    return [*((name, value) for name, value in original if name not in told), *told.items()]


def _rounds(history: str | None) -> bytes:
    """A history that can be written on, whoever wrote it."""
    try:
        rounds = orjson.loads(history or "[]")
    except orjson.JSONDecodeError:
        rounds = []
    return orjson.dumps(rounds if isinstance(rounds, list) else [])
