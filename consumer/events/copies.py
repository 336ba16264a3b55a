"""Records that are sent again: what a replay or a redrive changes in their headers. Pure.

Key, value and all other headers stay as they are. A copy names its original, so that whoever reads a topic can tell
what a replay or a redrive has sent already.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumer.events import foreign
from consumer.events.deadletter import NAMES
from consumer.events.headers import (
    ATTEMPT,
    COPY_OF,
    FIRST_SEEN,
    FOR_MODEL,
    HISTORY,
    NOT_BEFORE,
    RECORDING,
    REDRIVES,
    REPLAY,
    Headers,
    number,
    text,
)

_OF_FAILURES = frozenset({*NAMES.values(), ATTEMPT, FIRST_SEEN, HISTORY, NOT_BEFORE}) - {RECORDING}


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a record lies.

    Attributes:
        topic: its name holds no slash.
        partition: of that topic.
        offset: in that partition.
    """

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """As the header ``tingxie-copy-of`` has it."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, written: str) -> Origin | None:
        """Read ``topic/partition/offset``; None when it is none."""
        topic, *numbers = written.split("/")
        if not topic or len(numbers) != 2 or not all(each.isascii() and each.isdigit() for each in numbers):
            return None
        return cls(topic, int(numbers[0]), int(numbers[1]))


def origin_of(headers: Headers) -> Origin | None:
    """Of which record this one is a copy; None when it is none."""
    return Origin.parse(text(headers, COPY_OF) or "")


def redrives(headers: Headers) -> int:
    """How often a dead letter was sent again before."""
    return number(headers, REDRIVES) or 0


def redriven(headers: Headers, letter: Origin) -> list[tuple[str, bytes | None]]:
    """Headers of a dead letter on its way back: nothing of its failure, and one more redrive.

    Args:
        headers: of the dead letter.
        letter: where it lies.
    """
    kept = _without(headers, {REDRIVES, COPY_OF})
    return [*kept, (REDRIVES, str(redrives(headers) + 1).encode()), (COPY_OF, str(letter).encode())]


def replayed(
    headers: Headers, record: Origin | None, replay: str, recording_id: str | None, for_model: str | None = None
) -> list[tuple[str, bytes | None]]:
    """Headers of an upload event that is sent again.

    Args:
        headers: of the event.
        record: where it lies; None when it is of no topic.
        replay: id of the replay.
        recording_id: ``bucket/key`` of the one recording that is wanted of several; None for all.
        for_model: model revision that is asked for; None for any.
    """
    about = {} if recording_id is None else {RECORDING: recording_id.encode()}
    kept = _without(headers, {REDRIVES, COPY_OF, REPLAY, FOR_MODEL, *about})
    origin = {} if record is None else {COPY_OF: str(record).encode()}
    asked = {} if for_model is None else {FOR_MODEL: for_model.encode()}
    return [*kept, *about.items(), (REPLAY, replay.encode()), *asked.items(), *origin.items()]


def _without(headers: Headers, names: set[str]) -> list[tuple[str, bytes | None]]:
    gone = names | _OF_FAILURES
    return [
        (name, value) for name, value in headers if name not in gone and not name.lower().startswith(foreign.PREFIXES)
    ]
