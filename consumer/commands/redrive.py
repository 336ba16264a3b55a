"""``tingxie dead-letters redrive``: dead letters back to where they came from, each once.

What was sent again is remembered in the journal (`consumer.kafka.journal`). A redrive that is killed leaves its entry
there with the ends that its target topics had when it began; the next one looks behind those ends for copies that
were sent and not remembered. So a letter is sent twice only if the broker takes the last requests of a killed process
after the next one has looked.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

import typer

from consumer.commands.bar import progress_bar
from consumer.commands.earlier_runs import before, copies_since
from consumer.commands.letters import Letter, Redriven, Selection
from consumer.commands.terminal import printable
from consumer.events.copies import Origin, origin_of, redriven, redrives
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
from consumer.kafka.records import Partition
from consumer.kafka.sink import OutgoingRecord
from consumer.kafka.spans import Span, SpanReader
from consumer.operations.logging import quiet_logs
from consumer.settings import Settings

NAMED = 20
"""So many letters that stay are named one by one."""


Tag = tuple[Origin, int]
"""A letter, and the time of its record."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for.

    Attributes:
        selection: which dead letters.
        to_topic: where they go; None for the topic that each came from.
        most: a letter that was redriven so often stays.
        rate: most records a second; None for no bound.
        dry_run: only tell.
    """

    selection: Selection = field(default_factory=Selection)
    to_topic: str | None = None
    most: int = 3
    rate: float | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a dead letter.

    Attributes:
        kind: ``send`` it; it was sent ``before``; a redrive that was cut short sent it, which is to be ``note``d; it
            has to ``stay``; it is an ``other`` one than was asked for.
        detail: the topic to send to, or why it stays.
    """

    kind: Literal["send", "before", "note", "stay", "other"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides about dead letters, the same way each time it is asked. Pure.

    Attributes:
        request: what a person asked for.
        before: what the journal knows.
        unnoted: what a redrive that was cut short had sent, as its copies tell.
        topics: those that exist.
    """

    request: Request
    before: Redriven
    unnoted: Collection[Origin]
    topics: Collection[str]

    def verdict(self, letter: Letter) -> Verdict:
        """What becomes of a letter."""
        meant = self.request.selection.takes(letter)
        if letter in self.before:
            return Verdict("before" if meant else "other")
        if letter.origin in self.unnoted:
            return Verdict("note")  # meant or not: this is the last chance to remember it
        if not meant:
            return Verdict("other")
        target = self.request.to_topic or letter.told.topic
        reason = self._reason_to_stay(letter, target)
        return Verdict("send", target or "") if reason is None else Verdict("stay", reason)

    def _reason_to_stay(self, letter: Letter, target: str | None) -> str | None:
        if (count := redrives(letter.record.headers)) >= self.request.most:
            return f"redriven {count} times before; raise --most to send it once more"
        if target is None:
            return "its headers name no topic; give --to-topic"
        if target not in self.topics:
            return f"there is no topic {target}; create it or give --to-topic"
        if target == letter.record.topic:
            return f"its target {target} is the dead-letter topic; give --to-topic"
        return None


@dataclass(slots=True)
class Tally:
    """How many letters each verdict concerns.

    Attributes:
        kinds: letters by kind of verdict.
        causes: letters to send, by topic and cause.
        staying: the first that stay, with the reasons.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    staying: list[str] = field(default_factory=list)

    def add(self, letter: Letter, verdict: Verdict) -> None:
        """Count a letter."""
        self.kinds[verdict.kind] += 1
        if verdict.kind == "send":
            self.causes[verdict.detail, letter.told.code or "unknown"] += 1
        elif verdict.kind == "stay" and len(self.staying) < NAMED:
            self.staying.append(f"{letter.place} {letter.name}: stays: {verdict.detail}")

    def tell(self, what: str) -> None:
        """Print what was done, and why letters stay."""
        for line in self.staying:
            typer.echo(f"tingxie: {printable(line)}", err=True)
        if (unnamed := self.kinds["stay"] - len(self.staying)) > 0:
            typer.echo(f"tingxie: {unnamed} more stay", err=True)
        before = self.kinds["before"] + self.kinds["note"]
        typer.echo(f"{self.kinds['send']} {what}, {before} were before, {self.kinds['stay']} stay")
        for (target, code), letters in sorted(self.causes.items()):
            typer.echo(printable(f"  {letters} {code} to {target}"))


def redrive(settings: Settings, request: Request) -> None:
    """Send dead letters again that have not been, and say what was done.

    Args:
        settings: of the broker and the topics.
        request: which, and where to.

    Raises:
        BrokerUnavailable: no broker answered, or a topic is missing.
        StopError: the client cannot go on; run again, nothing is lost.
    """
    quiet_logs(settings.telemetry.log_format)
    topic, journal = settings.topics.dead_letters, journal_topic(settings.topics)
    with closing(SpanReader(settings.kafka)) as reader:
        entries = read_journal(reader, journal)
        spans = reader.whole(topic)
        unfinished = entries.get(f"redrive/{topic}")
        copies = _copies(reader, unfinished)
        judge = Judge(request, Redriven(entries), _sent(reader, copies, topic), reader.partitions)
        tally = Tally()
        for letter in map(Letter.of, reader.read(spans)):
            tally.add(letter, judge.verdict(letter))
        if request.dry_run:
            tally.tell("would be redriven")
            return
        if tally.kinds["send"] or unfinished is not None:
            ensure_journal(settings.kafka, reader, journal)
            targets = {partition: span for to, _ in tally.causes for partition, span in reader.whole(to).items()}
            targets |= before(copies)  # those of the one that was cut short are looked for until this one is done
            _Run(settings, request, judge, reader, spans).send(targets, tally.kinds["send"], _stale(entries, spans))
    tally.tell("redriven")


def _copies(reader: SpanReader, unfinished: Value | None) -> dict[Partition, Span]:
    """Where the copies lie that a redrive wrote which did not come to its end."""
    begun = {} if unfinished is None else spans_from_json(unfinished["targets"])
    copies: dict[Partition, Span] = {}
    for topic in sorted({each for each, _ in begun}):
        now = reader.whole(topic) if topic in reader.partitions else {}
        copies |= copies_since("a redrive was cut short", topic, now, begun)
    return copies


def _sent(reader: SpanReader, copies: dict[Partition, Span], topic: str) -> set[Origin]:
    """Which letters of a topic the copies are of."""
    origins = (origin_of(record.headers) for record in reader.read(copies))
    return {origin for origin in origins if origin is not None and origin.topic == topic}


def _stale(entries: Iterable[str], spans: dict[Partition, Span]) -> list[str]:
    """Entries about letters that retention has removed from their topic."""
    origins = {key: Origin.parse(key.removeprefix("redriven/")) for key in entries if key.startswith("redriven/")}
    return [
        key
        for key, origin in origins.items()
        if origin is not None
        and (span := spans.get((origin.topic, origin.partition))) is not None
        and origin.offset < span.start
    ]


@dataclass(frozen=True, slots=True)
class _Run:
    """Sends what the judge says, and remembers it."""

    settings: Settings
    request: Request
    judge: Judge
    reader: SpanReader
    spans: dict[Partition, Span]

    def send(self, targets: dict[Partition, Span], count: int, stale: list[str]) -> None:
        """Send the letters.

        Args:
            targets: behind the ends of these the copies will lie.
            count: letters to send, for the bar.
            stale: keys of the journal that say nothing any more.
        """
        run = f"redrive/{self.settings.topics.dead_letters}"
        with closing(Publisher[Tag](self.settings.kafka, rate=self.request.rate)) as publisher:
            journal = Journal(publisher, journal_topic(self.settings.topics))
            journal.note(run, {"begun_ms": round(time.time() * 1000), "targets": spans_as_json(targets)})
            publisher.finish()
            try:
                with progress_bar("redriving", count) as advance:
                    self._send_all(publisher, journal, advance)
            except KeyboardInterrupt:
                _remember(journal, publisher.settle())
                publisher.settle()
                typer.echo("tingxie: interrupted; the same command sends the rest", err=True)
                raise
            for key in stale:
                journal.note(key, None)
            publisher.finish()
            journal.note(run, None)
            publisher.finish()

    def _send_all(self, publisher: Publisher[Tag], journal: Journal, advance: Callable[[int], None]) -> None:
        for record in self.reader.read(self.spans):
            letter = Letter.of(record)
            verdict = self.judge.verdict(letter)
            tag = (letter.origin, record.timestamp_ms)
            if verdict.kind == "note":
                _remember(journal, [tag])
            elif verdict.kind == "send":
                headers = redriven(record.headers, letter.origin)
                copy = OutgoingRecord(verdict.detail, record.key, record.value, headers)
                _remember(journal, publisher.put(tag, copy))
                advance(1)
        _remember(journal, publisher.finish())


def _remember(journal: Journal, sent: Iterable[Tag]) -> None:
    for origin, timestamp_ms in sent:
        journal.note(Redriven.key(origin), {"timestamp_ms": timestamp_ms})
