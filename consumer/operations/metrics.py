"""Prometheus metrics, all of them, with what each is for."""

from __future__ import annotations

import time
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from consumer import __version__
from consumer.operations.busy import BusyShare

STAGE_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Seconds: a clip takes tens of milliseconds, a recording of many hours many minutes."""
SEGMENT_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Segments: one of a long breath up to a bound full of single words."""
PADDING_BUCKETS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Shares of a batch: a tenth is what is aimed at."""

OUTCOMES = ("completed", "no_speech", "dead_letter", "skipped")
"""Values of the label of `Metrics.records`."""
RELOAD_OUTCOMES = ("replaced", "unchanged", "refused")
"""Values of the label of `Metrics.model_reloads`."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a reader of metrics needs to know of one.

    Attributes:
        name: as it is served; a histogram's samples add ``_bucket``, ``_sum`` and ``_count``.
        kind: ``counter``, ``gauge`` or ``histogram``.
        labels: their names.
        meaning: a sentence.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """One registry's worth of metrics, so that two services in one process do not share theirs."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._add_records(registry)
        self._add_work(registry)
        self._add_group(registry)
        self._add_engine(registry)
        self.build_info = Gauge(
            "tingxie_build_info", "Always 1; the labels tell what runs.", ["version"], registry=registry
        )
        self.build_info.labels(__version__).set(1)

    def _add_records(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "tingxie_records_total",
            "Recordings ended, by outcome: completed, no_speech, dead_letter; and events skipped.",
            ["outcome"],
            registry=registry,
        )
        # There from the start, or the first of each would be no increase.
        for outcome in OUTCOMES:
            self.records.labels(outcome)
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

    def _add_work(self, registry: CollectorRegistry) -> None:
        self.in_flight_records = Gauge("tingxie_in_flight_records", "Recordings in work.", registry=registry)
        self.in_flight_bytes = Gauge(
            "tingxie_in_flight_bytes", "Bytes of the objects of recordings in work.", registry=registry
        )
        self.in_flight_audio_seconds = Gauge(
            "tingxie_in_flight_audio_seconds",
            "Seconds of decoded audio of recordings in work, of all their tracks.",
            registry=registry,
        )
        self.consumption_blocked = Gauge(
            "tingxie_consumption_blocked",
            "1 while nothing is taken in: too many recordings ended as dead letters, or the spool's disk is full.",
            registry=registry,
        )

    def _add_group(self, registry: CollectorRegistry) -> None:
        self.commit_offset = Gauge(
            "tingxie_commit_offset", "Last committed offset.", ["topic", "partition"], registry=registry
        )
        self.consumer_lag_records = Gauge(
            "tingxie_consumer_lag_records",
            "Records of this process's partitions that are not committed. Those that come while intake is paused count "
            "once it goes on.",
            ["topic", "partition"],
            registry=registry,
        )
        self.oldest_record_age_seconds = Gauge(
            "tingxie_oldest_record_age_seconds",
            "Age of the oldest record in work, from its record time; 0 while nothing is.",
            registry=registry,
        )
        self.rebalances = Counter(
            "tingxie_rebalances_total", "Changes of the assignment.", ["change"], registry=registry
        )

    def _add_engine(self, registry: CollectorRegistry) -> None:
        self.batch_segments = Histogram(
            "tingxie_batch_segments",
            "Segments in a batch of the recogniser.",
            buckets=SEGMENT_BUCKETS,
            registry=registry,
        )
        self.batch_padding_ratio = Histogram(
            "tingxie_batch_padding_ratio",
            "Share of a batch that is padding, by time.",
            buckets=PADDING_BUCKETS,
            registry=registry,
        )
        self.model_info = Gauge(
            "tingxie_model_info",
            "Always 1; the labels tell which models hear what begins now.",
            ["name", "revision", "vad", "punctuation", "dtype", "device"],
            registry=registry,
        )
        self.model_reloads = Counter(
            "tingxie_model_reloads_total",
            "Times that models were to be replaced, by outcome: replaced, unchanged, refused.",
            ["outcome"],
            registry=registry,
        )
        for outcome in RELOAD_OUTCOMES:
            self.model_reloads.labels(outcome)
        self.engine_busy = BusyShare()
        self.engine_busy_ratio = Gauge(
            "tingxie_engine_busy_ratio", "Share of the last minute in which the engine had work.", registry=registry
        )
        self.engine_busy_ratio.set_function(lambda: self.engine_busy.share(time.monotonic()))
        self.gpu_memory_bytes = Gauge(
            "tingxie_gpu_memory_bytes",
            "Memory of the GPU: reserved by this process for models and batches, used by all processes, total. "
            "Not there without a GPU; while there is no work, as it was last.",
            ["kind"],
            registry=registry,
        )

    def described(self) -> list[Described]:
        """All metrics, in the order of their names."""
        return sorted(
            (_described(each) for each in vars(self).values() if isinstance(each, MetricWrapperBase)),
            key=lambda described: described.name,
        )


def _described(metric: MetricWrapperBase) -> Described:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    # The client hands a metric's labels out nowhere else.
    return Described(name, family.type, tuple(metric._labelnames), family.documentation)  # noqa: SLF001
