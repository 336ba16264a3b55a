"""Where traces enter the service: an observer that may also write on what leaves it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import closing, contextmanager

from consumer.kafka.records import Ticket
from consumer.kafka.retries import retry_topics
from consumer.kafka.sink import OutgoingRecord
from consumer.pipeline.observer import Fate, Observer
from consumer.settings import Settings


class Traces(Observer):
    """Traces nothing: the ``traceparent`` of an upload goes on to what comes of it, as it is."""

    def stamped(self, ticket: Ticket, fate: Fate, record: OutgoingRecord) -> OutgoingRecord:
        """The record that tells what came of a recording, with the trace in its headers. Never raises."""
        return record

    def trace_id(self, tag: Hashable) -> str | None:
        """Of a recording in work, in hexadecimal digits; None when it has no trace."""
        return None


@contextmanager
def open_traces(settings: Settings) -> Iterator[Traces]:
    """Traces as ``telemetry.traces`` asks for; on exit what is left is handed to the collector, within seconds."""
    if settings.telemetry.traces == "none":
        yield Traces()
        return
    # Whoever has no traces shall not pay for them, in memory or in time to start.
    from consumer.operations.tracing import open_tracer  # noqa: PLC0415
    from consumer.pipeline.spans import Spans  # noqa: PLC0415

    with (
        open_tracer(settings.telemetry) as tracer,
        closing(Spans(tracer, settings.kafka.group_id, retry_topics(settings))) as spans,
    ):
        yield spans
