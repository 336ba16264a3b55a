from __future__ import annotations

from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, format_span_id, format_trace_id

from consumer.errors import NotMedia, StorageUnavailable, TranscriptTooLarge
from consumer.events.recording import Recording
from consumer.kafka.records import Record, Ticket
from consumer.kafka.retries import RetryTopic, RetryTopics
from consumer.kafka.sink import OutgoingRecord
from consumer.pipeline.observer import Ended, Fate
from consumer.pipeline.spans import Spans
from consumer.pipeline.traces import Traces
from tests.unit.pipeline.bench import Bench, decoded, heard, stored
from tests.unit.transcript.speech import span, transcript_of

TICKET = Ticket("uploads", 3, 17, 1, 0)
RECORDING = Recording(bucket="audio-in", key="a.wav")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
UPLOAD = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{UPLOAD}-01"
RETRIES = RetryTopics((RetryTopic("uploads.retry.30s", 30_000),))
DONE = Ended(TICKET, RECORDING, transcript_of([span("你 好。")]), 1, {})
Headers = list[tuple[str, bytes | None]]


class Traced:
    """Spans with an exporter that keeps them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = Spans(self.provider.get_tracer("test"), "group", RETRIES)

    def take(self, headers: Headers | None = None, ticket: Ticket = TICKET, value: bytes | None = b"{}") -> None:
        if headers is None:
            headers = [("traceparent", TRACEPARENT.encode())]
        record = Record(ticket.topic, ticket.partition, ticket.offset, b"key", value, headers, 1)
        self.spans.taken(ticket, record, RECORDING)

    def work(self, *stages: str, ticket: Ticket = TICKET) -> None:
        for stage in stages:
            self.spans.entered(ticket, stage)
            self.spans.passed(ticket, stage)

    def publish(self, fate: Fate = "transcript", topic: str = "transcripts", headers: Headers | None = None) -> Headers:
        """Up to the acknowledgement; returns what the record's headers became."""
        made = OutgoingRecord(topic, b"audio-in/a.wav", b"value", headers or [])
        stamped = self.spans.stamped(TICKET, fate, made)
        assert replace(stamped, headers=made.headers) == made
        self.spans.entered(TICKET, "publish")
        self.spans.acknowledged(TICKET, fate)
        return list(stamped.headers)

    def finished(self) -> dict[str, ReadableSpan]:
        found = self.exporter.get_finished_spans()
        assert len({each.name for each in found}) == len(found)
        return {each.name: each for each in found}


@pytest.fixture
def traced() -> Traced:
    return Traced()


def context_of(one: ReadableSpan) -> SpanContext:
    context = one.get_span_context()
    assert context is not None
    return context


def trace_of(one: ReadableSpan) -> str:
    return format_trace_id(context_of(one).trace_id)


def id_of(one: ReadableSpan) -> str:
    return format_span_id(context_of(one).span_id)


def parent_of(one: ReadableSpan) -> str | None:
    return None if one.parent is None else format_span_id(one.parent.span_id)


def traceparent_of(one: ReadableSpan) -> bytes:
    return f"00-{trace_of(one)}-{id_of(one)}-{context_of(one).trace_flags:02x}".encode()


def test_upload_stages_and_transcript_share_a_trace(traced: Traced) -> None:
    traced.take()
    traced.work("fetch", "decode", "engine")
    traced.spans.ended(DONE)
    headers = traced.publish(headers=[("ce_id", b"1"), ("traceparent", b"old"), ("tracestate", b"old=1")])
    spans = traced.finished()
    assert list(spans) == ["fetch", "decode", "engine", "publish transcripts", "process uploads"]
    whole = spans["process uploads"]
    assert {trace_of(each) for each in spans.values()} == {TRACE}
    assert parent_of(whole) == UPLOAD
    assert {parent_of(each) for each in spans.values() if each is not whole} == {id_of(whole)}
    assert headers == [("ce_id", b"1"), ("traceparent", traceparent_of(spans["publish transcripts"]))]
    assert [each.kind for each in spans.values()] == [SpanKind.INTERNAL] * 3 + [SpanKind.PRODUCER, SpanKind.CONSUMER]
    assert all(each.status.status_code is StatusCode.UNSET for each in spans.values())


def test_spans_have_the_attributes_of_the_conventions(traced: Traced) -> None:
    traced.take()
    traced.spans.ended(DONE)
    traced.publish()
    spans = traced.finished()
    assert dict(spans["process uploads"].attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "uploads",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 17,
        "messaging.kafka.message.key": "key",
        "messaging.message.body.size": 2,
        "messaging.consumer.group.name": "group",
        "aws.s3.bucket": "audio-in",
        "aws.s3.key": "a.wav",
        "tingxie.attempts": 1,
        "tingxie.transcript_id": DONE.result.id,  # type: ignore[union-attr]
        "tingxie.audio_ms": DONE.result.duration_ms,  # type: ignore[union-attr]
        "tingxie.fate": "transcript",
    }
    assert dict(spans["publish transcripts"].attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "transcripts",
        "messaging.kafka.message.key": "audio-in/a.wav",
        "messaging.message.body.size": 5,
    }


@pytest.mark.parametrize("headers", [[], [("traceparent", b"00-1")], [("traceparent", None)]])
def test_an_upload_without_a_trace_begins_one(traced: Traced, headers: Headers) -> None:
    traced.take(headers)
    traced.spans.ended(DONE)
    sent = dict(traced.publish())
    spans = traced.finished()
    assert spans["process uploads"].parent is None
    assert sent == {"traceparent": traceparent_of(spans["publish transcripts"])}


def test_vendors_state_goes_on(traced: Traced) -> None:
    traced.take([("traceparent", TRACEPARENT.encode()), ("tracestate", b"vendor=1")])
    assert dict(traced.publish())["tracestate"] == b"vendor=1"


def test_a_stage_that_is_tried_again_is_one_span_with_an_event_for_each_failure(traced: Traced) -> None:
    traced.take()
    for attempt in (1, 2):
        traced.spans.entered(TICKET, "fetch")
        traced.spans.retrying(TICKET, StorageUnavailable("503 from https://u:secret@storage"), attempt, 200)
    traced.work("fetch", "decode")
    spans = traced.exporter.get_finished_spans()
    assert [each.name for each in spans] == ["fetch", "decode"]
    assert [dict(each.attributes or {}) for each in spans[0].events] == [
        {
            "error.type": "storage_unavailable",
            "error.message": "503 from https://u:**********@storage",
            "tingxie.attempt": attempt,
            "tingxie.delay_ms": 200,
        }
        for attempt in (1, 2)
    ]
    assert spans[0].status.status_code is StatusCode.UNSET


def test_a_failure_is_the_stages_and_the_whole_ones(traced: Traced) -> None:
    traced.take()
    traced.work("fetch")
    traced.spans.entered(TICKET, "decode")
    traced.spans.ended(Ended(TICKET, RECORDING, NotMedia("audio-in/a.wav: text"), 1, {}))
    headers = traced.publish("dead letter", "dead", [("traceparent", TRACEPARENT.encode()), ("other", b"1")])
    spans = traced.finished()
    assert list(spans) == ["fetch", "decode", "publish dead", "process uploads"]
    for name in ("decode", "process uploads"):
        assert spans[name].status.status_code is StatusCode.ERROR
        assert spans[name].status.description == "audio-in/a.wav: text"
        assert (spans[name].attributes or {})["error.type"] == "not_media"
    assert spans["publish dead"].status.status_code is StatusCode.UNSET
    assert headers == [("other", b"1"), ("traceparent", traceparent_of(spans["publish dead"]))]


def test_a_transcript_that_the_topic_refuses_is_published_twice(traced: Traced) -> None:
    traced.take()
    traced.spans.ended(DONE)
    first = dict(traced.spans.stamped(TICKET, "transcript", OutgoingRecord("transcripts", None, b"", [])).headers)
    traced.spans.entered(TICKET, "publish")
    traced.work("store")
    traced.spans.ended(DONE)
    second = dict(traced.publish())
    refused, store, published, whole = traced.exporter.get_finished_spans()
    assert [each.name for each in (refused, store, published)] == [
        "publish transcripts",
        "store",
        "publish transcripts",
    ]
    assert refused.status.status_code is StatusCode.ERROR
    assert first["traceparent"] == traceparent_of(refused)
    assert second["traceparent"] == traceparent_of(published)
    assert whole.status.status_code is StatusCode.UNSET


def test_one_that_cannot_be_stored_either_is_a_failure(traced: Traced) -> None:
    traced.take()
    traced.spans.ended(DONE)
    traced.spans.stamped(TICKET, "transcript", OutgoingRecord("transcripts", None, b"", []))
    traced.spans.ended(replace(DONE, result=TranscriptTooLarge("too large")))
    traced.publish("dead letter", "dead")
    failed = {each.name for each in traced.finished().values() if each.status.status_code is StatusCode.ERROR}
    assert failed == {"publish transcripts", "process uploads"}


def again(topic: str, *headers: tuple[str, bytes]) -> tuple[Ticket, Headers]:
    return Ticket(topic, 0, 1, 1, 0), [("traceparent", TRACEPARENT.encode()), *headers]


@pytest.mark.parametrize(
    ("ticket", "headers"),
    [
        again("uploads.retry.30s"),
        again("uploads.retry.30s", ("tingxie-replay", b"r1")),
        again("uploads", ("tingxie-redrives", b"1")),
        again("uploads", ("tingxie-redrives", b"1"), ("tingxie-replay", b"r1")),
    ],
)
def test_retries_and_redrives_stay_in_the_trace(traced: Traced, ticket: Ticket, headers: Headers) -> None:
    traced.take(headers, ticket)
    traced.spans.acknowledged(ticket, "transcript")
    (whole,) = traced.exporter.get_finished_spans()
    assert (trace_of(whole), parent_of(whole), whole.links) == (TRACE, UPLOAD, ())


def test_a_replay_begins_a_trace_that_is_linked_to_the_old_one(traced: Traced) -> None:
    ticket, headers = again("uploads", ("tingxie-replay", b"r1"))
    traced.take(headers, ticket)
    traced.spans.acknowledged(ticket, "transcript")
    (whole,) = traced.exporter.get_finished_spans()
    assert whole.parent is None
    assert trace_of(whole) != TRACE
    assert [format_span_id(each.context.span_id) for each in whole.links] == [UPLOAD]
    assert (whole.attributes or {})["tingxie.replay"] == "r1"


def test_a_replay_of_an_upload_without_a_trace_is_linked_to_nothing(traced: Traced) -> None:
    traced.take([("tingxie-replay", b"r1")])
    traced.spans.acknowledged(TICKET, "transcript")
    assert traced.finished()["process uploads"].links == ()


def test_recordings_of_one_event_are_siblings(traced: Traced) -> None:
    tickets = [replace(TICKET, index=number) for number in (0, 1)]
    for ticket in tickets:
        traced.take(ticket=ticket)
    for ticket in tickets:
        traced.spans.acknowledged(ticket, "transcript")
    spans = traced.exporter.get_finished_spans()
    assert [parent_of(each) for each in spans] == [UPLOAD, UPLOAD]
    assert id_of(spans[0]) != id_of(spans[1])


@pytest.mark.parametrize("change", ["revoked", "lost"])
def test_what_others_have_now_ends_and_says_so(traced: Traced, change: str) -> None:
    mine, gone = replace(TICKET, partition=1), TICKET
    traced.take(ticket=mine)
    traced.take(ticket=gone)
    traced.spans.entered(gone, "engine")
    traced.spans.rebalanced("assigned", [("uploads", 3)])
    traced.spans.rebalanced(change, [("uploads", 3)])
    for late in (traced.spans.entered, traced.spans.passed):
        late(gone, "engine")
    traced.spans.acknowledged(gone, "transcript")
    spans = traced.finished()
    assert list(spans) == ["engine", "process uploads"]
    for each in spans.values():
        assert each.status.status_code is StatusCode.ERROR
        assert (each.attributes or {})["error.type"] == f"partition_{change}"
    assert traced.spans.trace_id(mine) == TRACE


def test_what_is_undone_at_the_end_says_so(traced: Traced) -> None:
    traced.take()
    traced.spans.entered(TICKET, "fetch")
    traced.spans.close()
    assert {(each.attributes or {})["error.type"] for each in traced.finished().values()} == {"process_stopped"}
    assert len(traced.finished()) == 2


def test_what_is_not_sampled_still_goes_on_in_the_trace(traced: Traced) -> None:
    traced.provider.sampler = ALWAYS_OFF
    traced.spans = Spans(TracerProvider(sampler=ALWAYS_OFF).get_tracer("test"), "group", RETRIES)
    traced.take()
    traced.work("fetch")
    (_, value), *_ = traced.publish()
    assert value is not None
    assert value.startswith(f"00-{TRACE}-".encode())
    assert value.endswith(b"-00")
    assert traced.finished() == {}


def test_the_library_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    traced = Traced()
    traced.take([])
    traced.work("fetch")
    assert traced.spans.trace_id(TICKET) is None
    assert traced.publish(headers=[("traceparent", b"old")]) == [("traceparent", b"old")]


def test_strangers_headers_cannot_break_it(traced: Traced) -> None:
    strange = (b"\xff" * 600, b"a=b," * 400, b"=", b"", "键=值".encode())
    for number, value in enumerate(strange):
        traced.take([("traceparent", TRACEPARENT.encode()), ("tracestate", value)], replace(TICKET, offset=number))
        assert traced.spans.trace_id(replace(TICKET, offset=number)) == TRACE


def test_the_flow_tells_when_a_stage_is_done() -> None:
    traced, bench = Traced(), Bench()
    bench.flow._observer = traced.spans
    traced.take()
    bench.admit(TICKET)
    bench.step()
    bench.fetch.finish(TICKET, StorageUnavailable("503"))
    bench.step()
    bench.step(1.0)
    bench.decode.room = 0
    bench.fetch.finish(TICKET, stored("a"))
    bench.step()
    assert list(traced.finished()) == ["fetch"], "waiting for a stage belongs to none"
    bench.decode.room = 1
    bench.step()
    bench.decode.finish(TICKET, decoded("a"))
    bench.step()
    bench.engine.finish(TICKET, heard())
    (end,) = bench.step()
    traced.publish()
    spans = traced.finished()
    assert list(spans) == ["fetch", "decode", "engine", "publish transcripts", "process uploads"]
    assert [each.name for each in spans["fetch"].events] == ["retry"]
    assert (spans["process uploads"].attributes or {})["tingxie.attempts"] == end.attempts == 2


def test_without_traces_a_record_stays_as_it_is() -> None:
    record = OutgoingRecord("transcripts", None, b"", [("traceparent", b"00-1")])
    assert Traces().stamped(TICKET, "transcript", record) is record
    assert Traces().trace_id(TICKET) is None
