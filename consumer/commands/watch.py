"""``tingxie watch``: transcripts and dead letters as they come."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from consumer.commands.letters import facts
from consumer.commands.terminal import fit, printable
from consumer.events.deadletter import DeadLetter
from consumer.events.transcript import Transcript
from consumer.kafka.follow import Follower, Start
from consumer.kafka.records import Record
from consumer.operations.logging import quiet_logs
from consumer.settings import Settings

POLL_S = 0.2
"""How long the client waits at most, so that Ctrl-C is noticed soon."""

OBJECT_WIDTH = 30
"""Columns of an object's name on a terminal; of a longer one the end is shown, which tells objects apart."""


def watch(settings: Settings, start: Start, *, dead_letters: bool, limit: int | None, as_json: bool) -> None:
    """Follow the topics until interrupted, or for so many records.

    Args:
        settings: of the broker and the topics.
        start: which records come first.
        dead_letters: follow that topic, too.
        limit: how many records, None for no end.
        as_json: a JSON object a line, which is also what a pipe gets; else lines for a terminal.

    Raises:
        BrokerUnavailable: no broker answered, or a topic does not exist.
        StopError: the client cannot go on.
    """
    quiet_logs(settings.telemetry.log_format)
    console = Console(highlight=False)
    show = _json_line if as_json or not console.is_terminal else _terminal_line(console)
    topics = [settings.topics.transcripts, *([settings.topics.dead_letters] if dead_letters else [])]
    shown = 0
    with closing(Follower(settings.kafka, topics, start)) as follower:
        typer.echo(f"tingxie: watching {' and '.join(topics)}; Ctrl-C ends", err=True)
        while limit is None or shown < limit:
            record = follower.poll(POLL_S)
            if record is not None:
                show(record, record.topic == settings.topics.dead_letters)
                shown += 1


def _transcript(record: Record) -> Transcript | None:
    """None for what is no transcript: anybody may write to a topic."""
    try:
        return Transcript.model_validate_json(record.value or b"")
    except ValidationError:
        return None


def _json_line(record: Record, dead: bool) -> None:
    line: dict[str, object] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _decoded(record.key),
    }
    if dead:
        line["dead_letter"] = facts(DeadLetter.from_headers(record.headers))
        line["value"] = _decoded(record.value)
    elif (transcript := _transcript(record)) is not None:
        line["transcript"] = transcript.model_dump(mode="json")
    else:
        line["value"] = _decoded(record.value)
    typer.echo(json.dumps(line, ensure_ascii=False))


def _terminal_line(console: Console) -> Callable[[Record, bool], None]:
    def show(record: Record, dead: bool) -> None:
        moment = datetime.fromtimestamp(record.timestamp_ms / 1000, timezone.utc).astimezone()
        line = Text(f"{moment:%H:%M:%S}  ", style="dim")
        line.append_text(_dead_letter_text(record) if dead else _transcript_text(record))
        console.print(line, no_wrap=True, overflow="ellipsis")

    return show


def _transcript_text(record: Record) -> Text:
    transcript = _transcript(record)
    if transcript is None:
        return Text(f"{record.place} is no transcript", style="not dim yellow")
    text = Text(fit(transcript.object_id, OBJECT_WIDTH), style="not dim bold")
    text.append(f"  {_clock(transcript.duration_ms):>7}  ", style="not bold cyan")
    if transcript.status == "no_speech":
        text.append("(no speech)", style="not bold italic")
    elif transcript.transcript_uri is not None and not transcript.text:
        text.append(printable(f"(too long for an event; see {transcript.transcript_uri})"), style="not bold italic")
    else:
        text.append(printable(transcript.text.replace("\n", " ")), style="not bold")
    return text


def _dead_letter_text(record: Record) -> Text:
    letter = DeadLetter.from_headers(record.headers)
    origin = f"{letter.topic}[{letter.partition}] {letter.offset}" if letter.topic else record.place
    name = letter.recording or origin
    text = Text(fit(name, OBJECT_WIDTH), style="not dim bold red")
    text.append(f"  {letter.code or 'unknown'}  ", style="reverse")
    text.append(printable(f" {letter.message or 'its headers tell no reason'}"), style="not bold")
    return text


def _clock(ms: int) -> str:
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _decoded(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", errors="replace")
