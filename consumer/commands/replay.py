"""``tingxie replay``: upload events once more.

The window is fixed when a replay begins and kept in the journal (`consumer.kafka.journal`) under its id, with the ends
that the target topic had. Copies carry the id and name their originals, so a replay that was killed finds behind those
ends what it has sent, and sends the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import typer

from consumer.commands.copying import progress_bar, quiet_logs
from consumer.commands.replay_selection import Choice, Transcribed, copies_of, recordings_of
from consumer.errors import UsageError
from consumer.events.copies import origin_of
from consumer.events.headers import RECORDING, Headers, replay_id, text
from consumer.events.parse import parse
from consumer.kafka.journal import (
    Journal,
    Value,
    ensure_journal,
    journal_topic,
    read_journal,
    spans_as_json,
    spans_from_json,
)
from consumer.kafka.publisher import Publisher
from consumer.kafka.records import Partition, Record
from consumer.kafka.sink import OutgoingRecord
from consumer.kafka.spans import Span, SpanReader
from consumer.settings import Settings

CopyId = tuple[int, int, str | None]
"""Partition and offset of the original, and the recording that the copy is limited to."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for.

    Attributes:
        id: of the replay.
        choice: which events.
        to_topic: where they go.
        rate: most records a second; None for no bound.
        dry_run: only tell.
    """

    id: str
    choice: Choice
    to_topic: str
    rate: float | None = None
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """What must be the same when the replay is run again."""
        return self.choice.as_json() | {"to_topic": self.to_topic}


@dataclass(slots=True)
class Tally:
    """What became of the records of the window.

    Attributes:
        records: sent.
        recordings: that they ask for.
        before: records that an earlier run of this replay sent.
        passed_over: the others, by reason.
        first: of those that are sent, the oldest: time, place.
        last: the newest.
    """

    records: int = 0
    recordings: int = 0
    before: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    first: tuple[int, str] | None = None
    last: tuple[int, str] | None = None

    def add(self, record: Record, recordings: int) -> None:
        """Count a record that is sent."""
        self.records += 1
        self.recordings += recordings
        place = (record.timestamp_ms, f"{record.topic}[{record.partition}] {record.offset}")
        self.first = min(self.first or place, place)
        self.last = max(self.last or place, place)

    def tell(self, what: str) -> None:
        """Print all of it."""
        typer.echo(f"{self.records} records {what}, {self.recordings} recordings")
        for title, place in (("first", self.first), ("last", self.last)):
            if place is not None:
                moment = datetime.fromtimestamp(place[0] / 1000, timezone.utc).astimezone()
                typer.echo(f"  {title}: {moment:%Y-%m-%d %H:%M:%S}  {place[1]}")
        for reason, count in sorted((self.passed_over + Counter({"sent before": self.before})).items()):
            typer.echo(f"  passed over, {reason}: {count}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay fixed when it began.

    Attributes:
        spans: of the topic that is read.
        targets: of the topic that is written: copies lie behind their ends.
    """

    spans: dict[Partition, Span]
    targets: dict[Partition, Span]


def replay(settings: Settings, request: Request) -> None:
    """Send upload events again, and say what was done.

    Args:
        settings: of the broker and the topics.
        request: which, and where to.

    Raises:
        UsageError: the window is none, or an earlier run under this id had other options.
        BrokerUnavailable: no broker answered, or a topic is missing.
        StopError: the client cannot go on; run again under the same id, nothing is lost.
    """
    quiet_logs(settings)
    with closing(SpanReader(settings.kafka)) as reader:
        entry = read_journal(reader, journal_topic(settings.topics)).get(f"replay/{request.id}")
        if entry is not None and entry["request"] != request.as_json():
            told = ", ".join(f"{name} {value}" for name, value in entry["request"].items() if value)
            raise UsageError(f"replay {request.id} was begun with other options ({told}); give them, or another --id")
        if entry is not None and "done" in entry:
            typer.echo(f"replay {request.id} is done: {entry['done']} records were sent")
            return
        plan = _plan(reader, request, entry)
        sent = _sent_before(reader, request, plan) if entry is not None else set()
        transcribed = _transcribed(settings, reader, request.choice)
        run = _Run(settings, request, reader, plan, sent, transcribed)
        if request.dry_run:
            run.look()
            run.tally.tell("would be sent")
            return
        ensure_journal(settings.kafka, reader, journal_topic(settings.topics))
        typer.echo(f"tingxie: replay {request.id}", err=True)
        run.send()
    run.tally.tell("sent")


def _plan(reader: SpanReader, request: Request, entry: Value | None) -> Plan:
    if entry is not None:
        return Plan(spans_from_json(entry["spans"]), spans_from_json(entry["targets"]))
    choice = request.choice
    spans = reader.whole(choice.topic)
    if choice.partition is not None:
        spans = {each: span for each, span in spans.items() if each[1] == choice.partition}
        if not spans:
            raise UsageError(f"--partition {choice.partition}: topic {choice.topic} has no such partition")
    bounds = [bound for bound in (choice.start, choice.end) if bound is not None]
    if len(spans) > 1 and any(bound.kind == "offset" for bound in bounds):
        raise UsageError(f"topic {choice.topic} has {len(spans)} partitions: an offset needs --partition")
    if choice.start is not None and choice.start.kind == "time":
        spans = reader.since(spans, choice.start.value)
    elif choice.start is not None:
        spans = {each: Span(max(span.start, choice.start.value), span.end) for each, span in spans.items()}
    if choice.end is not None and choice.end.kind == "offset":
        spans = {each: Span(span.start, min(span.end, choice.end.value)) for each, span in spans.items()}
    return Plan(spans, reader.whole(request.to_topic))


def _sent_before(reader: SpanReader, request: Request, plan: Plan) -> set[CopyId]:
    """The copies that earlier runs of this replay have left."""
    spans = {}
    for partition, span in reader.whole(request.to_topic).items():
        begun = plan.targets.get(partition, Span(0, 0)).end
        if span.start > begun:
            typer.echo(
                f"tingxie: topic {request.to_topic} has dropped records since replay {request.id} began: "
                "some may be sent a second time; their transcripts have the same ids",
                err=True,
            )
        spans[partition] = Span(max(span.start, begun), span.end)
    ours = (record.headers for record in reader.read(spans) if replay_id(record.headers) == request.id)
    return {copy for headers in ours if (copy := _copy_id(headers, request.choice.topic)) is not None}


def _copy_id(headers: Headers, topic: str) -> CopyId | None:
    origin = origin_of(headers)
    if origin is None or origin.topic != topic:
        return None
    return origin.partition, origin.offset, text(headers, RECORDING)


def _transcribed(settings: Settings, reader: SpanReader, choice: Choice) -> Transcribed | None:
    if not choice.only_missing and choice.model_older_than is None:
        return None
    transcribed = Transcribed(choice.model_older_than)
    spans = reader.whole(settings.topics.transcripts)
    with progress_bar("reading transcripts", sum(map(len, spans.values()))) as advance:
        for record in reader.read(spans):
            transcribed.add(record.value)
            advance(1)
    return transcribed


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a replay."""

    settings: Settings
    request: Request
    reader: SpanReader
    plan: Plan
    sent: set[CopyId]
    transcribed: Transcribed | None
    tally: Tally = field(default_factory=Tally)

    def look(self) -> None:
        """Count what would be sent."""
        with self._bar("reading") as advance:
            for record in self.reader.read(self.plan.spans):
                self._copies(record)
                advance(1)

    def send(self) -> None:
        """Send what was not sent yet."""
        key = f"replay/{self.request.id}"
        with closing(Publisher[CopyId](self.settings.kafka, rate=self.request.rate)) as publisher:
            journal = Journal(publisher, journal_topic(self.settings.topics))
            entry: Value = {
                "request": self.request.as_json(),
                "begun_ms": round(time.time() * 1000),
                "spans": spans_as_json(self.plan.spans),
                "targets": spans_as_json(self.plan.targets),
            }
            journal.note(key, entry)
            publisher.finish()
            try:
                with self._bar("replaying") as advance:
                    self._send_all(publisher, advance)
            except KeyboardInterrupt:
                publisher.settle()
                typer.echo(
                    f"tingxie: interrupted; the same options with --id {self.request.id} send the rest", err=True
                )
                raise
            journal.note(key, entry | {"done": self.tally.records + self.tally.before})
            publisher.finish()

    def _send_all(self, publisher: Publisher[CopyId], advance: Callable[[int], None]) -> None:
        for record in self.reader.read(self.plan.spans):
            for headers in self._copies(record):
                copy = _copy_id(headers, record.topic)
                assert copy is not None
                publisher.put(copy, OutgoingRecord(self.request.to_topic, record.key, record.value, headers))
            advance(1)
        publisher.finish()

    def _copies(self, record: Record) -> Iterable[Headers]:
        """What is to be sent of a record, by the headers of each copy; counts it."""
        chosen = recordings_of(self.request.choice, self.transcribed, record)
        if isinstance(chosen, str):
            self.tally.passed_over[chosen] += 1
            return []
        copies = [*copies_of(record, chosen, self.request.id)]
        left = [each for each in copies if _copy_id(each, record.topic) not in self.sent]
        if not left:
            self.tally.before += 1
            return []
        self.tally.add(record, sum(len(parse(record.value, each).recordings) for each in left))
        return left

    def _bar(self, title: str) -> Any:
        return progress_bar(title, sum(map(len, self.plan.spans.values())))
