"""The way of traces out of the process: OTLP over HTTP, in the background, and never at the cost of the work.

Over HTTP and not gRPC, since a collector takes both, and this needs no binary package. The queue of spans is bounded
(``OTEL_BSP_MAX_QUEUE_SIZE``, 2,048): when the collector is slow or away, spans are lost and nothing waits. Endpoint,
headers, certificates, time-outs, queue and resource follow the ``OTEL_…`` variables of OpenTelemetry's specification.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Tracer

from consumer import __version__
from consumer.errors import TingxieError, UsageError
from consumer.settings import TelemetrySettings

FLUSH_S = 3.0
"""For the last spans to reach the collector, when the work is over: grace periods leave more."""

CHECK_S = 5.0
"""For a collector to answer, when it is only asked whether it is there."""

LOCAL = "http://localhost:4318"
"""Where a collector listens by default."""

log = structlog.get_logger("tingxie")


@contextmanager
def open_tracer(settings: TelemetrySettings) -> Iterator[Tracer]:
    """A tracer whose spans go to the collector; what is left of them on exit has `FLUSH_S` seconds.

    Raises:
        UsageError: a variable of OpenTelemetry has a value that its library refuses.
    """
    endpoint = traces_endpoint(settings)
    provider = TracerProvider(
        sampler=None if settings.trace_ratio is None else ParentBasedTraceIdRatio(settings.trace_ratio),
        resource=resource(),
        shutdown_on_exit=False,  # it takes half a minute for that
    )
    try:
        provider.add_span_processor(BatchSpanProcessor(ToldExporter(OTLPSpanExporter(endpoint), endpoint)))
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"telemetry.traces: a variable OTEL_… is wrong: {error}") from error
    log.info("traces are exported", endpoint=endpoint)
    try:
        yield provider.get_tracer("tingxie", __version__)
    finally:
        # A request to a host that does not answer cannot be called off; nobody waits for it.
        flush = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
        flush.start()
        flush.join(FLUSH_S)
        if flush.is_alive():
            log.warning("the last traces are lost: the collector does not answer", endpoint=endpoint)


def check_collector(settings: TelemetrySettings) -> str:
    """Send the collector no spans, which it answers like any; returns its endpoint.

    Raises:
        TingxieError: it does not take them; with the cause.
    """
    endpoint = traces_endpoint(settings)
    library = _LibraryLog()
    library.attach()
    exporter: SpanExporter = OTLPSpanExporter(endpoint, timeout=CHECK_S)
    result = exporter.export([])
    exporter.shutdown()
    if result is not SpanExportResult.SUCCESS:
        cause = library.cause or "no answer"
        raise TingxieError(f"{endpoint} does not take traces: {cause}; check telemetry.otlp_endpoint")
    return endpoint


def traces_endpoint(settings: TelemetrySettings) -> str:
    """Full URL that traces are sent to: the setting, then OpenTelemetry's variables."""
    if not settings.otlp_endpoint and (exact := os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)):
        return exact
    base = settings.otlp_endpoint or os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT) or LOCAL
    return f"{base.rstrip('/')}/v1/traces"


def resource() -> Resource:
    """Who sends the traces; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win."""
    ours = {"service.name": "tingxie", "service.version": __version__, "host.name": socket.gethostname()}
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


class ToldExporter(SpanExporter):
    """Says once that spans do not arrive, and why, and once that they do again. Called on the exporting thread."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._lost = 0
        self._library = _LibraryLog()
        self._library.attach()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        self._library.forget()
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("traces are lost", endpoint=self._endpoint, error=self._library.cause or "unknown")
            self._lost += len(spans)
        elif self._lost:
            log.info("traces arrive again", endpoint=self._endpoint, lost_spans=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """Give up on what is being sent."""
        self._exporter.shutdown()


class _LibraryLog(logging.Handler):
    """What OpenTelemetry's library writes: of a failed export the cause is kept, all else is passed on once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.cause: str | None = None
        self._said: set[object] = set()

    def attach(self) -> None:
        """Take the place of whatever the library's messages went to."""
        library = logging.getLogger("opentelemetry")
        library.handlers[:] = [self]
        library.propagate = False
        library.setLevel(logging.WARNING)  # causes are warnings, whatever else is written

    def forget(self) -> None:
        """What comes from now on is of another export."""
        self.cause = None

    def emit(self, record: logging.LogRecord) -> None:
        """Any thread may call this."""
        if record.name.startswith("opentelemetry.exporter."):
            self.cause = self.cause or record.getMessage()
        elif record.msg not in self._said and (root := logging.getLogger()).isEnabledFor(record.levelno):
            self._said.add(record.msg)
            root.handle(record)
