"""``tingxie dead-letters list``, ``show`` and ``export``: what lies in the dead-letter topic."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from consumer.commands.letters import Letter, Redriven, Selection, facts, selected
from consumer.commands.terminal import fit, printable
from consumer.errors import UsageError
from consumer.events.copies import redrives
from consumer.kafka.journal import journal_topic, read_journal
from consumer.kafka.records import Record
from consumer.kafka.spans import Span, SpanReader
from consumer.operations.logging import quiet_logs
from consumer.settings import Settings

COLUMNS = {"place": 9, "time": 19, "class": 22, "stage": 7, "redrives": 8, "recording": 30, "message": 0}
"""Titles and widths on a terminal; the last has what is left."""


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
    quiet_logs(settings.telemetry.log_format)
    console = Console(highlight=False)
    with closing(SpanReader(settings.kafka)) as reader:
        redriven = Redriven(read_journal(reader, journal_topic(settings.topics)))
        found = (
            (letter, letter in redriven)
            for letter in selected(reader, settings.topics.dead_letters, selection)
            if everything or letter not in redriven
        )
        if as_json or not console.is_terminal:
            for letter, again in found:
                typer.echo(json.dumps(_line(letter) | {"redriven": again}, ensure_ascii=False))
        else:
            console.print(_head(), no_wrap=True, overflow="ellipsis")
            for letter, again in found:
                console.print(_row(letter, again), no_wrap=True, overflow="ellipsis")


def show_letter(settings: Settings, place: str) -> None:
    """Print one dead letter: where it lies, its headers, its event.

    Args:
        settings: of the broker and the topics.
        place: ``PARTITION:OFFSET``.

    Raises:
        UsageError: there is no such dead letter.
        StopError: the broker cannot be read.
    """
    quiet_logs(settings.telemetry.log_format)
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
        output: a file that does not exist yet, and does not afterwards when this fails; None for stdout.

    Raises:
        UsageError: the file cannot be made.
        StopError: the broker cannot be read.
    """
    quiet_logs(settings.telemetry.log_format)
    with closing(SpanReader(settings.kafka)) as reader:
        letters = selected(reader, settings.topics.dead_letters, selection)
        with nullcontext(sys.stdout) if output is None else _new_file(output) as file:
            count = 0
            for letter in letters:
                file.write(json.dumps(_whole(letter.record), ensure_ascii=False) + "\n")
                count += 1
    typer.echo(f"tingxie: {count} dead letters exported", err=True)


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """A file that stays only when all of it is written: the same command may then be run again."""
    try:
        file = path.open("x", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror}; name a file that can be made") from error
    try:
        with file:
            yield file
    except BaseException:
        path.unlink()
        raise


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


def _head() -> Text:
    return Text("  ".join(f"{title:<{width}}" for title, width in COLUMNS.items()), style="dim")


def _row(letter: Letter, redriven: bool) -> Text:
    told, count = letter.told, redrives(letter.record.headers)
    cells = (
        letter.place,
        _moment(letter.record.timestamp_ms),
        told.code or "unknown",
        told.stage or "",
        f"{count} +1" if redriven else str(count),
        letter.name,
    )
    fitted = (fit(cell, width) for cell, width in zip(cells, COLUMNS.values(), strict=False))
    row = Text("  ".join(fitted), style="dim" if redriven else "")
    return row.append(f"  {printable(told.message or 'its headers tell no reason')}")


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
