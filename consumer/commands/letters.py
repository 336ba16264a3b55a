"""``tingxie dead-letters list``, ``show`` and ``export``: what lies in the dead-letter topic."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from consumer.commands.terminal import printable
from consumer.errors import UsageError
from consumer.events.copies import Origin, redrives
from consumer.events.deadletter import DeadLetter
from consumer.kafka.journal import Value, journal_topic, read_journal
from consumer.kafka.records import Record
from consumer.kafka.spans import Span, SpanReader
from consumer.settings import Settings


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


def list_letters(settings: Settings, selection: Selection, *, everything: bool, as_json: bool) -> None:
    """Print dead letters, a table for a terminal, else JSON lines.

    Args:
        settings: of the broker and the topics.
        selection: which.
        everything: those that were redriven, too.
        as_json: JSON lines on a terminal as well.

    Raises:
        StopError: the broker cannot be read.
    """
    console = Console(highlight=False)
    with closing(SpanReader(settings.kafka)) as reader:
        redriven = Redriven(read_journal(reader, journal_topic(settings.topics)))
        found = (
            (letter, letter in redriven)
            for letter in _selected(reader, settings.topics.dead_letters, selection)
            if everything or letter not in redriven
        )
        if as_json or not console.is_terminal:
            for letter, again in found:
                typer.echo(json.dumps(_line(letter) | {"redriven": again}, ensure_ascii=False))
        else:
            console.print(_table(found))


def show_letter(settings: Settings, place: str) -> None:
    """Print one dead letter: where it lies, its headers, its event.

    Args:
        settings: of the broker and the topics.
        place: ``PARTITION:OFFSET``.

    Raises:
        UsageError: there is no such dead letter.
        StopError: the broker cannot be read.
    """
    partition, _, offset = place.partition(":")
    if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise UsageError(f"{place}: write PARTITION:OFFSET, as `tingxie dead-letters list` does, for instance 0:17")
    topic = settings.topics.dead_letters
    with closing(SpanReader(settings.kafka)) as reader:
        span = reader.whole(topic).get((topic, int(partition)))
        if span is None:
            raise UsageError(f"{place}: topic {topic} has no partition {partition}")
        wanted = Span(int(offset), int(offset) + 1) if span.start <= int(offset) < span.end else Span(0, 0)
        record = next(iter(list(reader.read({(topic, int(partition)): wanted}))), None)
    if record is None:
        raise UsageError(
            f"{place}: topic {topic} has no such record; partition {partition} holds {span.start} to {span.end - 1}"
        )
    typer.echo(f"{topic}  partition {record.partition}  offset {record.offset}  {_moment(record.timestamp_ms)}")
    typer.echo(f"key: {printable(_decoded(record.key) or '')}")
    for name, value in record.headers:
        typer.echo(f"{printable(name)}: {printable(_header(value))}")
    typer.echo("")
    typer.echo(_event(record.value))


def export_letters(settings: Settings, selection: Selection, output: Path | None) -> None:
    """Write dead letters as JSON lines that keep every byte.

    Args:
        settings: of the broker and the topics.
        selection: which.
        output: a file that does not exist yet; None for stdout.

    Raises:
        UsageError: the file cannot be made.
        StopError: the broker cannot be read.
    """
    try:
        target = nullcontext(sys.stdout) if output is None else output.open("x", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror}; name a file that can be made") from error
    count = 0
    with target as file, closing(SpanReader(settings.kafka)) as reader:
        for letter in _selected(reader, settings.topics.dead_letters, selection):
            file.write(json.dumps(_whole(letter.record), ensure_ascii=False) + "\n")
            count += 1
    typer.echo(f"tingxie: {count} dead letters exported", err=True)


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


def _selected(reader: SpanReader, topic: str, selection: Selection) -> Iterator[Letter]:
    spans = reader.whole(topic)
    if selection.since_ms is not None:
        spans = reader.since(spans, selection.since_ms)
    return (letter for record in reader.read(spans) if selection.takes(letter := Letter.of(record)))


def _line(letter: Letter) -> dict[str, Any]:
    record = letter.record
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _decoded(record.key),
        "dead_letter": facts(letter.told),
        "redrives": redrives(record.headers),
    }


def _table(found: Iterator[tuple[Letter, bool]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("place", "time", "class", "stage", "redrives"):
        table.add_column(title, no_wrap=True)
    table.add_column("recording", no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column("message", no_wrap=True, overflow="ellipsis", ratio=1)
    for letter, again in found:
        cells = (
            letter.place,
            _moment(letter.record.timestamp_ms),
            letter.told.code or "unknown",
            letter.told.stage or "",
            f"{redrives(letter.record.headers)}{' +1' if again else ''}",
            letter.name,
            letter.told.message or "its headers tell no reason",
        )
        table.add_row(*(_plain(each) for each in cells), style="dim" if again else None)
    return table


def _plain(cell: str) -> str:
    return printable(cell).replace("[", r"\[")


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _header(value: bytes | None) -> str:
    """Text as it is; other bytes, such as Spring's numbers, in hexadecimal."""
    try:
        text = (value or b"").decode()
    except UnicodeDecodeError:
        text = "\0"
    return text if text.isprintable() else f"0x{(value or b'').hex()}"


def _event(value: bytes | None) -> str:
    try:
        return json.dumps(json.loads(value or b""), ensure_ascii=False, indent=2)
    except ValueError:
        return "\n".join(printable(line) for line in (_decoded(value) or "(no value)").splitlines())


def _whole(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _exact(record.key),
        "headers": [[name, _exact(value)] for name, value in record.headers],
        "value": _exact(record.value),
    }


def _exact(value: bytes | None) -> str | dict[str, str] | None:
    """Text where the bytes are UTF-8, else ``{"base64": …}``: nothing is lost."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
