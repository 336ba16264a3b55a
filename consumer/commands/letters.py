"""Dead letters as the commands see them: what they tell, which are meant, which were redriven."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from consumer.events.copies import Origin
from consumer.events.deadletter import DeadLetter
from consumer.kafka.journal import Value
from consumer.kafka.records import Record
from consumer.kafka.spans import SpanReader


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of the dead-letter topic, read.

    Attributes:
        record: as it lies there.
        told: what its headers tell.
    """

    record: Record
    told: DeadLetter

    @classmethod
    def of(cls, record: Record) -> Letter:
        """Read a record; whatever it is, this does not raise."""
        return cls(record, DeadLetter.from_headers(record.headers))

    @property
    def origin(self) -> Origin:
        """Where it lies."""
        return Origin(self.record.topic, self.record.partition, self.record.offset)

    @property
    def place(self) -> str:
        """Where it lies, as ``show`` takes it."""
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def name(self) -> str:
        """The recording that failed, else the key of the record; may be empty."""
        return self.told.recording or (self.record.key or b"").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant; what is left empty allows all.

    Attributes:
        classes: names of causes, with wildcards.
        stages: where it went wrong.
        topics: they came from.
        key: of the recording (``bucket/key``) or the record, with wildcards.
        since_ms: written at this time or later, epoch milliseconds.
        until_ms: written before.
    """

    classes: Collection[str] = ()
    stages: Collection[str] = ()
    topics: Collection[str] = ()
    key: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether it is one of them."""
        told, written_ms = letter.told, letter.record.timestamp_ms
        return (
            (not self.classes or any(fnmatchcase(told.code or "", each) for each in self.classes))
            and (not self.stages or told.stage in self.stages)
            and (not self.topics or told.topic in self.topics)
            and (self.key is None or fnmatchcase(letter.name, self.key))
            and (self.since_ms is None or written_ms >= self.since_ms)
            and (self.until_ms is None or written_ms < self.until_ms)
        )


class Redriven:
    """Which dead letters the journal knows to be sent again."""

    def __init__(self, entries: Mapping[str, Value]) -> None:
        self._entries = entries

    @staticmethod
    def key(origin: Origin) -> str:
        """Of a dead letter's entry."""
        return f"redriven/{origin}"

    def __contains__(self, letter: Letter) -> bool:
        """Whether it was. A topic that was made anew has other letters at the same offsets: times tell them apart."""
        entry = self._entries.get(self.key(letter.origin))
        return entry is not None and entry.get("timestamp_ms") == letter.record.timestamp_ms


def facts(letter: DeadLetter) -> dict[str, Any]:
    """What a dead letter's headers tell, as JSON lines have it."""
    return {
        "class": letter.code,
        "stage": letter.stage,
        "message": letter.message,
        "retryable": letter.retryable,
        "recording": letter.recording,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "delivery_count": letter.delivery_count,
    }


def selected(reader: SpanReader, topic: str, selection: Selection) -> Iterator[Letter]:
    """The letters of a dead-letter topic that are meant, as far as the topic reaches now.

    Raises:
        StopError: the broker cannot be read.
    """
    spans = reader.whole(topic)
    if selection.since_ms is not None:
        spans = reader.since(spans, selection.since_ms)
    return (letter for record in reader.read(spans) if selection.takes(letter := Letter.of(record)))
