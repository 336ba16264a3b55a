"""A trace of each recording, through the headers of Kafka records.

A recording has a span ``process <topic>`` (consumer) from the moment its record is taken up to the acknowledgement of
what came of it. Below it lies a span for each stage that worked on it, tries that failed as events of that, and one
``publish <topic>`` (producer). The ``traceparent`` of the outgoing record is that of the last: what reads a transcript,
a retry topic or a redriven dead letter goes on there. Names and attributes are those of OpenTelemetry's semantic
conventions for messaging, where they have one; ``tingxie.…`` where they have none.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from consumer.errors import RecordingError, TranscriptTooLarge
from consumer.events.copies import redrives
from consumer.events.deadletter import bounded
from consumer.events.headers import TRACEPARENT, TRACESTATE, replay_id, text, traceparent
from consumer.events.recording import Recording
from consumer.kafka.records import Record, Ticket, tags_of
from consumer.kafka.retries import RetryTopics
from consumer.kafka.sink import OutgoingRecord
from consumer.pipeline.observer import Ended, Fate
from consumer.pipeline.traces import Traces
from consumer.redaction import redacted

PUBLISH = "publish"
_W3C = TraceContextTextMapPropagator()


@dataclass(slots=True)
class _Traced:
    """The spans of one recording that are open.

    Attributes:
        whole: of all work on it.
        stage: name of the stage that owns it; None between two.
        part: span of that stage.
    """

    whole: Span
    stage: str | None = None
    part: Span | None = None

    def end_part(self) -> None:
        if self.part is not None:
            self.part.end()
        self.stage = self.part = None


class Spans(Traces):
    """Makes the spans. Belongs to the loop's thread; a span that has ended is handed on without waiting."""

    def __init__(self, tracer: Tracer, group: str, retries: RetryTopics) -> None:
        """Nothing is traced yet.

        Args:
            tracer: makes spans.
            group: consumer group.
            retries: their topics.
        """
        self._tracer = tracer
        self._group = group
        self._retries = retries
        self._traced: dict[Hashable, _Traced] = {}

    def taken(self, ticket: Ticket, record: Record, recording: Recording | None) -> None:
        """Begin the trace of a recording, or go on with that of its record."""
        context, links = self._origin(record)
        attributes: dict[str, str | int] = {
            **_messaging("process", record.topic, record.key, record.value),
            "messaging.consumer.group.name": self._group,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
        }
        if recording is not None:
            # Conventional names for what is fetched through S3's interface, whoever provides it.
            attributes |= {"aws.s3.bucket": recording.bucket, "aws.s3.key": redacted(recording.key)}
        if (replay := replay_id(record.headers)) is not None:
            attributes["tingxie.replay"] = replay
        name, kind = f"process {record.topic}", SpanKind.CONSUMER
        self._traced[ticket] = _Traced(self._tracer.start_span(name, context, kind, attributes, links))

    def entered(self, tag: Hashable, stage: str) -> None:
        """Begin the span of a stage, or go on with it after a try that failed."""
        traced = self._traced.get(tag)
        if traced is None or traced.stage == stage:
            return  # one for all tries; and ``publish`` began when its record was made
        if traced.stage == PUBLISH and traced.part is not None:
            # What was published comes back only for this.
            _fail(traced.part, TranscriptTooLarge.code, "the topic refused its size; it is stored instead")
        traced.end_part()
        traced.stage, traced.part = stage, self._tracer.start_span(stage, _below(traced.whole))

    def passed(self, tag: Hashable, stage: str) -> None:
        """End the span of the stage."""
        if (traced := self._traced.get(tag)) is not None and traced.stage == stage:
            traced.end_part()

    def retrying(self, tag: Hashable, error: RecordingError, attempt: int, delay_ms: int) -> None:
        """Note the try that failed."""
        if (traced := self._traced.get(tag)) is not None and traced.part is not None:
            told = {"error.type": error.code, "error.message": _message(error)}
            traced.part.add_event("retry", {**told, "tingxie.attempt": attempt, "tingxie.delay_ms": delay_ms})

    def ended(self, ended: Ended) -> None:
        """Note how; a failure is that of the stage it arose in, and of the whole."""
        traced = self._traced.get(ended.tag)
        if traced is None:
            return
        traced.whole.set_attribute("tingxie.attempts", ended.attempts)
        if isinstance(ended.result, RecordingError):
            for span in (traced.part, traced.whole):
                if span is not None:
                    _fail(span, ended.result.code, _message(ended.result))
        else:
            traced.whole.set_attributes(
                {"tingxie.transcript_id": ended.result.id, "tingxie.audio_ms": ended.result.duration_ms}
            )
        traced.end_part()

    def stamped(self, ticket: Ticket, fate: Fate, record: OutgoingRecord) -> OutgoingRecord:
        """Begin the span of publishing, and name it in the record's headers in place of the one that came in."""
        traced = self._traced.get(ticket)
        if traced is None:
            return record
        attributes = _messaging(PUBLISH, record.topic, record.key, record.value)
        context = _below(traced.whole)
        span = self._tracer.start_span(f"{PUBLISH} {record.topic}", context, SpanKind.PRODUCER, attributes)
        traced.stage, traced.part = PUBLISH, span
        traced.whole.set_attribute("tingxie.fate", fate)
        told: dict[str, str] = {}
        _W3C.inject(told, _below(span))
        if not told:
            return record  # OTEL_SDK_DISABLED
        kept = [(name, value) for name, value in record.headers if name not in {TRACEPARENT, TRACESTATE}]
        return replace(record, headers=[*kept, *((name, value.encode()) for name, value in told.items())])

    def acknowledged(self, tag: Hashable, fate: Fate) -> None:
        """End what is open."""
        if (traced := self._traced.pop(tag, None)) is not None:
            traced.end_part()
            traced.whole.end()

    def rebalanced(self, change: str, partitions: Sequence[tuple[str, int]]) -> None:
        """End the spans of recordings whose partition somebody else has now."""
        if change != "assigned":
            for tag in tags_of(partitions, self._traced):
                self._abandon(tag, f"partition_{change}")

    def trace_id(self, tag: Hashable) -> str | None:
        """Of a recording in work, in hexadecimal digits; None when it has no trace."""
        traced = self._traced.get(tag)
        context = None if traced is None else traced.whole.get_span_context()
        return format_trace_id(context.trace_id) if context is not None and context.is_valid else None

    def close(self) -> None:
        """End the spans of what is left undone."""
        for tag in list(self._traced):
            self._abandon(tag, "process_stopped")

    def _abandon(self, tag: Hashable, why: str) -> None:
        traced = self._traced.pop(tag)
        for span in (traced.part, traced.whole):
            if span is not None:
                _fail(span, why, "dropped; its record is uncommitted and will be read again")
        traced.end_part()
        traced.whole.end()

    def _origin(self, record: Record) -> tuple[Context, list[Link]]:
        """Where the trace of a record's recordings goes on, and what it is linked to.

        The conventions ask for a link to the producer's span where a span is about a batch of records, and allow it as
        parent where it is about one. Ours are about one recording of one record, so it is the parent, and upload and
        transcript share a trace; several recordings of an event are siblings in it. Retries and redrives are more tries
        of the same and stay in it. A replay, though, may come months later: its recordings begin a trace of their own,
        linked to the old one, which most backends could not show as one, and sampled by today's rule.
        """
        carried = {TRACEPARENT: traceparent(record.headers), TRACESTATE: text(record.headers, TRACESTATE)}
        came = _W3C.extract({name: value for name, value in carried.items() if value}, Context())
        again = record.topic in self._retries or redrives(record.headers) > 0
        if again or replay_id(record.headers) is None:
            return came, []
        former = get_current_span(came).get_span_context()
        return Context(), [Link(former)] if former.is_valid else []


def _messaging(operation: str, topic: str, key: bytes | None, value: bytes | None) -> dict[str, str | int]:
    """Attributes that spans of both ends have."""
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": "send" if operation == PUBLISH else operation,
        "messaging.destination.name": topic,
        "messaging.message.body.size": len(value or b""),
    }
    if key is not None:
        attributes["messaging.kafka.message.key"] = bounded(redacted(key.decode(errors="replace")))
    return attributes


def _below(span: Span) -> Context:
    """The context in which spans are children of this one, whatever is current in the thread."""
    return set_span_in_context(span, Context())


def _fail(span: Span, kind: str, message: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, message))


def _message(error: RecordingError) -> str:
    """What a person may read of it outside of this process."""
    return bounded(redacted(str(error)))
