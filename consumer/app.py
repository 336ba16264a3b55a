"""The only place that builds objects and hands them to each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from consumer.audio.decoder import STARTUP_SECONDS, Decoder
from consumer.engine.api import EngineObserver
from consumer.engine.engine import Engine
from consumer.kafka.retries import retry_topics
from consumer.kafka.sink import Sink, record_limit
from consumer.operations.health import Health
from consumer.operations.metrics import Metrics
from consumer.operations.server import admin_server, health_server
from consumer.operations.watchdog import Watchdog
from consumer.pipeline.breaker import Breaker, BreakerLimits
from consumer.pipeline.budgets import Intake, Limits
from consumer.pipeline.flow import Flow
from consumer.pipeline.observer import Observer, Observers
from consumer.pipeline.outgoing import Outgoing
from consumer.pipeline.reload import ModelReload, ReloadOutcome
from consumer.pipeline.retry import RetryPolicy
from consumer.pipeline.service import Service
from consumer.pipeline.storing import Storing
from consumer.pipeline.telemetry import EngineMetrics, HealthObserver, InWork, LogObserver, MetricsObserver
from consumer.pipeline.threads import ThreadStage
from consumer.pipeline.traces import open_traces
from consumer.pipeline.work import Gates
from consumer.settings import LimitSettings, Settings
from consumer.stage import Deadline
from consumer.storage.files import LocalFetcher
from consumer.storage.objects import ObjectFetcher
from consumer.storage.spool import Spool
from consumer.storage.transcripts import TranscriptStore

CLOSE_TIMEOUT_S = 5.0
"""For threads to notice that they should end; what they worked on is abandoned anyway."""

STORE_WORKERS = 2
"""Transcripts that are too large for an event are rare, and soon written."""


@contextmanager
def open_flow(settings: Settings, *, observer: Observer, local_files: bool) -> Iterator[Flow]:
    """A flow that is not started yet, and stores no transcripts; closed on exit, with its spool and its decoders.

    Args:
        settings: all of them.
        observer: told what happens to recordings.
        local_files: recordings with an empty bucket name files of this machine. Never for events of others.

    Raises:
        UsageError: the spool folder, the storage settings or the reference recording cannot be used.
    """
    with _open_flow(settings, observer=observer, local_files=local_files) as (flow, _):
        yield flow


@contextmanager
def _open_flow(
    settings: Settings,
    *,
    observer: Observer,
    local_files: bool,
    record_bytes: int | None = None,
    engine_observer: EngineObserver | None = None,
) -> Iterator[tuple[Flow, Engine]]:
    """A flow with its engine; transcripts whose record is larger than ``record_bytes`` are stored, if they can be."""
    with ExitStack() as stack:
        limits = settings.limits
        wake = threading.Event()
        spool = stack.enter_context(Spool(limits.spool_dir, limits.spool_free_bytes))
        objects = stack.enter_context(closing(ObjectFetcher(settings.storage, limits, spool)))
        fetch = LocalFetcher(objects, limits, spool).fetch if local_files else objects.fetch
        decoder = stack.enter_context(closing(Decoder(limits, spool)))
        storing = None
        if record_bytes is not None and settings.storage.transcript_bucket:
            store = stack.enter_context(closing(TranscriptStore(settings.storage, STORE_WORKERS)))
            stage = ThreadStage(
                "store", store.store, workers=STORE_WORKERS, notify=wake.set, deadline=_transfer(settings)
            )
            storing = Storing(stage, record_bytes, settings.telemetry.ce_source)
        engine = Engine(settings.engine, notify=wake.set, observer=engine_observer)
        flow = Flow(
            fetch=ThreadStage(
                "fetch", fetch, workers=limits.fetch_workers, notify=wake.set, deadline=_transfer(settings)
            ),
            decode=ThreadStage(
                "decode", decoder.decode, workers=limits.decode_workers, notify=wake.set, deadline=_decoding(settings)
            ),
            engine=engine,
            spool=spool,
            retry=RetryPolicy(settings.retry.attempts, settings.retry.backoff_ms, settings.retry.backoff_max_ms),
            gates=Gates(bytes=limits.in_flight_bytes, audio_ms=limits.in_flight_audio_seconds * 1000),
            wake=wake,
            observer=observer,
            storing=storing,
        )
        stack.callback(flow.close, CLOSE_TIMEOUT_S)
        yield flow, engine


def _transfer(settings: Settings) -> Deadline:
    """Of a download or an upload: one that takes twice its time keeps no time limit any more."""
    storage, seconds = settings.storage, settings.limits.fetch_seconds
    timeouts_s = storage.connect_timeout_s + storage.read_timeout_s
    return Deadline(2 * (seconds + timeouts_s), "limits.fetch_seconds")


def _decoding(settings: Settings) -> Deadline:
    """Of a decoder: it may begin anew once, in a process that has to start."""
    return Deadline(3 * settings.limits.decode_seconds + 2 * STARTUP_SECONDS, "limits.decode_seconds")


def _silence_s(settings: Settings, health: Health) -> float:
    """How long no Python code may run. Libraries that load keep the interpreter long, those that compute do not."""
    engine, limits = settings.engine, settings.limits
    return engine.load_seconds if health.starting else max(engine.stall_seconds, limits.stall_seconds)


def _loop_observer(settings: Settings, health: Health, started: Callable[[], None]) -> HealthObserver:
    limits = settings.limits
    return HealthObserver(
        health,
        settings.kafka.bootstrap_servers,
        start=Deadline(settings.engine.load_seconds + limits.stall_seconds, "engine.load_seconds"),
        # A turn in which partitions go to another member lasts as long as that may.
        turn=Deadline(limits.stall_seconds + limits.revoke_seconds, "limits.stall_seconds"),
        started=started,
    )


def _intake(limits: LimitSettings) -> Intake:
    audio_ms = limits.in_flight_audio_seconds * 1000
    return Intake(Limits(limits.in_flight_records, limits.in_flight_bytes, audio_ms))


def _breaker(limits: LimitSettings) -> Breaker:
    return Breaker(
        BreakerLimits(
            limits.dead_letter_share,
            limits.dead_letter_count,
            limits.dead_letter_window_seconds,
            limits.dead_letter_probe_seconds,
        )
    )


def _outgoing(settings: Settings) -> Outgoing:
    kafka, source = settings.kafka, settings.telemetry.ce_source
    return Outgoing(settings.topics, retry_topics(settings), kafka.group_id, source, time.time)


def _reload(engine: Engine, settings: Settings, load: Callable[[], Settings] | None, metrics: Metrics) -> ModelReload:
    def told(outcome: ReloadOutcome) -> None:
        metrics.model_reloads.labels(outcome).inc()

    return ModelReload(engine, settings.engine, load or (lambda: settings), told)


@contextmanager
def open_service(
    settings: Settings,
    *,
    load: Callable[[], Settings] | None = None,
    observer: Observer | None = None,
    supervised: bool = False,
) -> Iterator[Service]:
    """The service with its logs, metrics, health and traces; closed on exit.

    Args:
        settings: all of them.
        load: reads them again, for `Service.models`; None: they are always the same.
        observer: told what happens, beside logs and metrics.
        supervised: end the process when a thread is stuck. Not for a process that does something else as well.

    Raises:
        UsageError: the spool folder, the storage settings, the reference recording, a port or a variable of
            OpenTelemetry cannot be used.
    """
    metrics, health, in_work = Metrics(), Health(), InWork()
    limits, telemetry = settings.limits, settings.telemetry
    watchdog = Watchdog(health, partial(_silence_s, settings, health), in_work.records)
    # The first record may be what hangs, before the watchdog looks again.
    loop = _loop_observer(settings, health, started=watchdog.put_off if supervised else lambda: None)
    with ExitStack() as stack:
        traces = stack.enter_context(open_traces(settings))
        everyone = Observers(
            LogObserver(traces.trace_id),
            MetricsObserver(metrics),
            loop,
            in_work,
            traces,
            *([observer] if observer is not None else []),
        )
        if telemetry.port:
            server = health_server(telemetry.host, telemetry.port, health, metrics.registry)
            stack.callback(server.close)
        if supervised:
            watchdog.start()
            stack.callback(watchdog.close)
        limit = record_limit(settings.kafka, limits.transcript_bytes)
        flow, engine = stack.enter_context(
            _open_flow(
                settings,
                observer=everyone,
                local_files=False,
                record_bytes=limit,
                engine_observer=EngineMetrics(metrics),
            )
        )
        models = _reload(engine, settings, load, metrics)
        stack.callback(models.close, CLOSE_TIMEOUT_S)
        if telemetry.admin_port:
            stack.callback(admin_server(telemetry.admin_port, models.routes()).close)
        watchdog.watch(loop.doing)
        watchdog.watch(flow.doing)
        sink = stack.enter_context(closing(Sink(settings.kafka, limit)))
        yield Service(
            settings=settings,
            flow=flow,
            models=models,
            sink=sink,
            intake=_intake(limits),
            breaker=_breaker(limits),
            outgoing=_outgoing(settings),
            observer=everyone,
            traces=traces,
        )
