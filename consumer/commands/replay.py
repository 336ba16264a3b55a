"""``tingxie replay``: upload events once more.

The window is fixed when a replay begins and kept in the journal (`consumer.kafka.journal`) under its id, with the ends
that the target topic had. Copies carry the id and name their originals, so a replay that was killed finds behind those
ends what it has sent, and sends the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import typer

from consumer.commands.bar import progress_bar
from consumer.commands.earlier_runs import before, copies_since
from consumer.commands.replay_selection import Choice, Transcribed, as_options, copies_of, recordings_of
from consumer.commands.replay_sources import BucketSource, Source, TopicSource, sent_by, window
from consumer.errors import UsageError
from consumer.events.headers import Headers
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
from consumer.operations.logging import quiet_logs
from consumer.settings import Settings

CopyTag = tuple[int, int, int]
"""Partition and offset of an original, and which of its copies."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for.

    Attributes:
        id: of the replay.
        choice: which events.
        to_topic: where they go.
        for_model: model revision that the copies ask for; None for any.
        rate: most records a second; None for no bound.
        dry_run: only tell.
    """

    id: str
    choice: Choice
    to_topic: str
    for_model: str | None = None
    rate: float | None = None
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """What must be the same when the replay is run again."""
        return self.choice.as_json() | {"to_topic": self.to_topic, "for_model": self.for_model}


@dataclass(slots=True)
class Tally:
    """What became of the records of the window.

    Attributes:
        records: sent.
        recordings: that they ask for.
        rests: those of the records of which an earlier run of this replay had sent a part.
        passed_over: the others, by reason; what an earlier run of this replay sent among them.
        first: of those that are sent, the oldest: time, place.
        last: the newest.
    """

    records: int = 0
    recordings: int = 0
    rests: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    first: tuple[int, str] | None = None
    last: tuple[int, str] | None = None

    def add(self, record: Record, recordings: int) -> None:
        """Count a record that is sent."""
        self.records += 1
        self.recordings += recordings
        place = (record.timestamp_ms, record.place)
        self.first = min(self.first or place, place)
        self.last = max(self.last or place, place)

    def tell(self, what: str) -> None:
        """Print all of it."""
        typer.echo(f"{self.records} records {what}, {self.recordings} recordings")
        for title, place in (("first", self.first), ("last", self.last)):
            if place is not None:
                moment = datetime.fromtimestamp(place[0] / 1000, timezone.utc).astimezone()
                typer.echo(f"  {title}: {moment:%Y-%m-%d %H:%M:%S}  {place[1]}")
        for reason, count in sorted(self.passed_over.items()):
            typer.echo(f"  passed over, {reason}: {count}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay fixed when it began.

    Attributes:
        begun_ms: epoch milliseconds.
        spans: of the topic that is read; none where a bucket is.
        targets: of the topic that is written: copies lie behind their ends.
    """

    begun_ms: int
    spans: dict[Partition, Span]
    targets: dict[Partition, Span]

    @classmethod
    def of(cls, entry: Value) -> Plan:
        """The plan that an earlier run wrote down."""
        return cls(entry["begun_ms"], spans_from_json(entry["spans"]), spans_from_json(entry["targets"]))

    def entry(self, request: Request) -> Value:
        """As it is written down."""
        return {
            "request": request.as_json(),
            "begun_ms": self.begun_ms,
            "spans": spans_as_json(self.spans),
            "targets": spans_as_json(self.targets),
        }


def replay(settings: Settings, request: Request) -> int:
    """Send upload events again, and say what was done; returns the exit code.

    That is 1 when records of the window were gone before they were read.

    Args:
        settings: of the broker, the topics and the storage.
        request: which, and where to.

    Raises:
        UsageError: the window is none, or an earlier run under this id had other options.
        BrokerUnavailable: no broker answered, or a topic is missing.
        TingxieError: broker or storage cannot go on; run again under the same id, nothing is lost.
    """
    quiet_logs(settings.telemetry.log_format)
    with closing(SpanReader(settings.kafka)) as reader:
        entry = read_journal(reader, journal_topic(settings.topics)).get(f"replay/{request.id}")
        if entry is not None and entry["request"] != request.as_json():
            told = as_options(entry["request"])
            raise UsageError(f"replay {request.id} was begun with other options ({told}); give them, or another --id")
        if entry is not None and "done" in entry:
            gone = entry.get("gone", {})
            typer.echo(f"replay {request.id} is {'over' if gone else 'done'}: {entry['done']} records were sent")
            return _told_gone(request, gone)
        plan, copies = (_plan(reader, request), {}) if entry is None else _resumed(reader, request, Plan.of(entry))
        source = _source(settings, reader, request.choice, plan)
        sent = sent_by(source, request.id, reader.read(copies))
        run = _Run(settings, request, plan, source, sent, _transcribed(settings, reader, request.choice))
        if request.dry_run:
            run.look()
            run.tally.tell("would be sent")
            return _told_gone(request, run.gone())
        ensure_journal(settings.kafka, reader, journal_topic(settings.topics))
        typer.echo(f"tingxie: replay {request.id}", err=True)
        run.send()
    run.tally.tell("sent")
    return _told_gone(request, run.gone())


def _told_gone(request: Request, gone: Mapping[str, int]) -> int:
    """Say what no run could send; returns the exit code."""
    if not gone:
        return 0
    listed = ", ".join(f"{count} of {partition}" for partition, count in sorted(gone.items()))
    typer.echo(
        f"tingxie: replay {request.id} is not complete: records of its window were removed before it read them, up to "
        f"{listed}; --from-bucket sends what their bucket still has",
        err=True,
    )
    return 1


def _plan(reader: SpanReader, request: Request) -> Plan:
    spans = {} if request.choice.bucket else window(reader, request.choice)
    return Plan(round(time.time() * 1000), spans, reader.whole(request.to_topic))


def _resumed(reader: SpanReader, request: Request, plan: Plan) -> tuple[Plan, dict[Partition, Span]]:
    """The plan of an earlier run, and where its copies lie."""
    copies = copies_since(f"replay {request.id} began", request.to_topic, reader.whole(request.to_topic), plan.targets)
    return replace(plan, targets=before(copies)), copies


def _source(settings: Settings, reader: SpanReader, choice: Choice, plan: Plan) -> Source:
    if choice.bucket is None:
        return TopicSource.of(reader, choice.topic, plan.spans)
    return BucketSource.at(choice.bucket, settings.storage, plan.begun_ms)


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
    plan: Plan
    source: Source
    sent: Mapping[Hashable, Collection[str | None]]
    transcribed: Transcribed | None
    tally: Tally = field(default_factory=Tally)

    def look(self) -> None:
        """Count what would be sent."""
        with progress_bar("reading", self.source.total) as advance:
            for record in self.source.records():
                self._copies(record)
                advance(1)

    def send(self) -> None:
        """Send what was not sent yet."""
        key, entry = f"replay/{self.request.id}", self.plan.entry(self.request)
        with closing(Publisher[CopyTag](self.settings.kafka, rate=self.request.rate)) as publisher:
            journal = Journal(publisher, journal_topic(self.settings.topics))
            journal.note(key, entry)
            publisher.finish()
            try:
                with progress_bar("replaying", self.source.total) as advance:
                    self._send_all(publisher, advance)
            except KeyboardInterrupt:
                publisher.settle()
                again = f"the same options with --id {self.request.id} send the rest"
                typer.echo(f"tingxie: interrupted; {again}", err=True)
                raise
            in_all = len(self.sent) + self.tally.records - self.tally.rests
            journal.note(key, entry | {"done": in_all, "gone": self.gone()})
            publisher.finish()

    def gone(self) -> dict[str, int]:
        """Records that were removed before any run had sent them, at most, by partition."""
        return self.source.gone(self.sent)

    def _send_all(self, publisher: Publisher[CopyTag], advance: Callable[[int], None]) -> None:
        for record in self.source.records():
            for number, headers in enumerate(self._copies(record)):
                copy = OutgoingRecord(self.request.to_topic, record.key, record.value, headers)
                publisher.put((record.partition, record.offset, number), copy)
            advance(1)
        publisher.finish()

    def _copies(self, record: Record) -> Iterable[Headers]:
        """What is to be sent of a record, by the headers of each copy; counts it."""
        choice = self.request.choice
        sent = self.sent.get(self.source.original(record), ())
        chosen = recordings_of(choice, self.transcribed, record, sent)
        if isinstance(chosen, str):
            self.tally.passed_over[chosen] += 1
            return []
        copies = list(copies_of(choice, record, chosen, self.request.id, self.request.for_model))
        self.tally.rests += bool(sent)
        self.tally.add(record, sum(len(parse(record.value, each).recordings) for each in copies))
        return copies
