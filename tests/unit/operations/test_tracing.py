from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from consumer import __version__
from consumer.errors import UsageError
from consumer.operations.tracing import FLUSH_S, ToldExporter, open_tracer, resource, traces_endpoint
from consumer.settings import TelemetrySettings

LIBRARY = logging.getLogger("opentelemetry.exporter.of.a.test")
ENDS_S = 60.0
"""For an exporter to give up; by itself it tries for ten seconds."""
SDK = logging.getLogger("opentelemetry.sdk.of.a.test")


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    library = logging.getLogger("opentelemetry")
    before = set(threading.enumerate())
    yield
    # What is still being sent would draw from `random` while other tests draw their examples.
    for thread in set(threading.enumerate()) - before:
        thread.join(ENDS_S)
        assert not thread.is_alive(), thread
    library.handlers.clear()
    library.propagate = True
    library.setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
def silent_host() -> Iterator[str]:
    """URL of a host that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("setting", "environment", "expected"),
    [
        ("", {}, "http://localhost:4318/v1/traces"),
        ("", {"ENDPOINT": "http://base:1/"}, "http://base:1/v1/traces"),
        ("", {"ENDPOINT": "http://base:1", "TRACES_ENDPOINT": "http://exact:2/here"}, "http://exact:2/here"),
        ("https://ours:3", {"ENDPOINT": "http://base:1", "TRACES_ENDPOINT": "http://x"}, "https://ours:3/v1/traces"),
    ],
)
def test_where_traces_go(
    monkeypatch: pytest.MonkeyPatch, setting: str, environment: dict[str, str], expected: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    assert traces_endpoint(TelemetrySettings(otlp_endpoint=setting)) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("collector:4318", "no URL"),
        ("ftp://collector", "no URL"),
        ("http://u:p@collector", "HEADERS"),
        ("grpc://u:p@c", "HEADERS"),
    ],
)
def test_an_endpoint_is_a_url_without_a_secret(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TelemetrySettings(otlp_endpoint=url)


def test_who_sends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = resource().attributes
    assert (ours["service.name"], ours["service.version"]) == ("tingxie", __version__)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7,k8s.pod.name=tingxie-0")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "calls")
    theirs = resource().attributes
    assert (theirs["service.name"], theirs["service.version"], theirs["k8s.pod.name"]) == ("calls", "7", "tingxie-0")


class Collector(SpanExporter):
    """Takes spans, or writes why it does not as the library does."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.trouble is None:
            return SpanExportResult.SUCCESS
        LIBRARY.warning("Transient error %s", self.trouble)
        LIBRARY.error("Failed to export")
        return SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_told_once_and_so_is_its_return() -> None:
    collector = Collector()
    exporter = ToldExporter(collector, "http://collector")
    span = ReadableSpan("any")
    with capture_logs() as lines:
        exporter.export([span])
        for collector.trouble in ["refused", *["other"] * 1000, None, "again"]:
            exporter.export([span, span])
    told = [(line["event"], line["endpoint"], line.get("error"), line.get("lost_spans")) for line in lines]
    assert told == [
        ("traces are lost", "http://collector", "Transient error refused", None),
        ("traces arrive again", "http://collector", None, 2002),
        ("traces are lost", "http://collector", "Transient error again", None),
    ]


def test_what_else_the_library_says_is_passed_on_once(caplog: pytest.LogCaptureFixture) -> None:
    ToldExporter(Collector(), "http://collector")
    for number in range(1000):
        SDK.warning("Queue full, dropping %s.", number)
    SDK.warning("something else")
    assert [record.getMessage() for record in caplog.records] == ["Queue full, dropping 0.", "something else"]


def test_a_cause_is_kept_where_only_errors_are_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    collector = Collector()
    collector.trouble = "refused"
    exporter = ToldExporter(collector, "http://collector")
    with capture_logs() as lines:
        exporter.export([ReadableSpan("any")])
    SDK.warning("Queue full, dropping %s.", "Span")
    assert lines[0]["error"] == "Transient error refused"
    assert caplog.records == []


def test_a_collector_that_does_not_answer_costs_the_work_nothing(silent_host: str) -> None:
    settings = TelemetrySettings(traces="otlp", otlp_endpoint=silent_host)
    with capture_logs() as lines:
        with open_tracer(settings) as tracer:
            begun = time.monotonic()
            for _ in range(10_000):  # several queues full
                tracer.start_span("any").end()
            spent_s = time.monotonic() - begun
            begun = time.monotonic()
        waited_s = time.monotonic() - begun
    # Half a minute is what the library waits by itself. The time of 10,000 spans is that of a slow machine.
    assert spent_s < 8
    assert FLUSH_S <= waited_s < FLUSH_S + 5
    assert [line["endpoint"] for line in lines if line["log_level"] == "warning"] == [f"{silent_host}/v1/traces"]


@pytest.mark.parametrize(("ratio", "recorded"), [(0.0, False), (1.0, True), (None, False)])
def test_the_share_that_is_traced(
    monkeypatch: pytest.MonkeyPatch, silent_host: str, ratio: float | None, *, recorded: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with open_tracer(TelemetrySettings(traces="otlp", otlp_endpoint=silent_host, trace_ratio=ratio)) as tracer:
        assert tracer.start_span("any").is_recording() is recorded


def test_a_variable_that_the_library_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(UsageError, match=r"OTEL_.*max_queue_size"), open_tracer(TelemetrySettings(traces="otlp")):
        pass
