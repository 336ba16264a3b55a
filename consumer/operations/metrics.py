"""Prometheus metrics, all of them, with what each is for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consumer import __version__

STAGE_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Seconds: a clip takes tens of milliseconds, a recording of many hours many minutes."""


class Metrics:
    """One registry's worth of metrics, so that two services in one process do not share theirs."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.records = Counter(
            "tingxie_records_total",
            "Recordings ended, by outcome: completed, no_speech, dead_letter; and events skipped.",
            ["outcome"],
            registry=registry,
        )
        self.retries = Counter(
            "tingxie_retries_total", "Failed tries that were tried again, by error class.", ["class"], registry=registry
        )
        self.dead_letters = Counter(
            "tingxie_dead_letters_total",
            "Dead letters, by error class and stage.",
            ["class", "stage"],
            registry=registry,
        )
        self.audio_seconds = Counter("tingxie_audio_seconds_total", "Seconds of audio transcribed.", registry=registry)
        self.stage_seconds = Histogram(
            "tingxie_stage_seconds",
            "Time a stage worked on a recording.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.queue_wait_seconds = Histogram(
            "tingxie_queue_wait_seconds",
            "From the upload event's record time until it was taken into work.",
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.in_flight_records = Gauge("tingxie_in_flight_records", "Recordings in work.", registry=registry)
        self.in_flight_bytes = Gauge("tingxie_in_flight_bytes", "Bytes of their objects.", registry=registry)
        self.in_flight_audio_seconds = Gauge(
            "tingxie_in_flight_audio_seconds", "Seconds of their decoded audio.", registry=registry
        )
        self.consumption_blocked = Gauge(
            "tingxie_consumption_blocked",
            "1 while nothing is taken in because too many recordings ended as dead letters.",
            registry=registry,
        )
        self.commit_offset = Gauge(
            "tingxie_commit_offset", "Last committed offset.", ["topic", "partition"], registry=registry
        )
        self.rebalances = Counter(
            "tingxie_rebalances_total", "Changes of the assignment.", ["change"], registry=registry
        )
        build = Gauge("tingxie_build_info", "Always 1; the labels tell what runs.", ["version"], registry=registry)
        build.labels(__version__).set(1)
