"""Observers that turn what happens into log lines, metrics and health."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import structlog

from consumer.engine.api import EngineObserver
from consumer.errors import RecordingError
from consumer.events.recording import Recording
from consumer.events.upload import Skipped
from consumer.kafka.membership import Membership
from consumer.kafka.records import Partition, Ticket, tags_of
from consumer.operations.health import Health
from consumer.operations.metrics import Metrics
from consumer.pipeline.observer import Ended, Fate, Load, Observer
from consumer.stage import Deadline, Doing
from consumer.transcript.types import ModelInfo

log = structlog.get_logger("tingxie")


def coordinates(tag: Hashable) -> dict[str, Any]:
    """What names a record in a log line."""
    if not isinstance(tag, Ticket):
        return {}
    return {"topic": tag.topic, "partition": tag.partition, "offset": tag.offset, "recording": tag.index}


class LogObserver(Observer):
    """One line for every recording's end, and for whatever a person may need to explain it."""

    def __init__(self, trace_id: Callable[[Hashable], str | None] = lambda _: None) -> None:
        """Make the observer.

        Args:
            trace_id: of what was admitted under a tag; None when it has no trace.
        """
        self._trace_id = trace_id

    def retrying(self, tag: Hashable, error: RecordingError, attempt: int, delay_ms: int) -> None:
        """Warn of a failed try."""
        log.warning(
            "retrying",
            **self._coordinates(tag),
            error_class=error.code,
            stage=error.stage,
            error=str(error),
            attempt=attempt,
            delay_ms=delay_ms,
        )

    def sent(self, ended: Ended, fate: Fate, topic: str) -> None:
        """Log the outcome with all that is known of it."""
        bound = log.bind(**self._coordinates(ended.tag), attempts=ended.attempts)
        if ended.recording is not None:
            bound = bound.bind(bucket=ended.recording.bucket, key=ended.recording.key)
        if isinstance(ended.result, RecordingError):
            error = ended.result
            latency_ms = sum(ended.stage_ms.values())
            event = "dead letter" if fate == "dead letter" else "retrying later"
            bound.warning(
                event, error_class=error.code, stage=error.stage, error=str(error), latency_ms=latency_ms, to=topic
            )
            return
        transcript = ended.result
        bound.info(
            "transcribed",
            id=transcript.id,
            status=transcript.status,
            audio_ms=transcript.duration_ms,
            latency_ms=transcript.timing.total_ms,
            **({"transcript_uri": transcript.transcript_uri} if transcript.transcript_uri is not None else {}),
            **{f"{stage}_ms": spent for stage, spent in ended.stage_ms.items()},
        )

    def passed_over(self, topic: str, partition: int, offset: int) -> None:
        """A record that was completed before a restart is worth a look only while debugging."""
        log.debug("completed before", topic=topic, partition=partition, offset=offset)

    def blocked(self, reason: str | None) -> None:
        """Say why nothing is taken in, and when it is again."""
        if reason is None:
            log.info("consumption goes on")
        else:
            log.error("consumption is paused", reason=reason)

    def skipped(self, skipped: Skipped) -> None:
        """An event that needs no work is worth a look only while debugging."""
        log.debug("skipped", reason=skipped.reason, event_name=skipped.event, object_id=skipped.object_id)

    def rebalanced(self, change: str, partitions: Sequence[tuple[str, int]]) -> None:
        """Log every change of the assignment."""
        log.info("rebalanced", change=change, partitions=[f"{topic}/{number}" for topic, number in partitions])

    def _coordinates(self, tag: Hashable) -> dict[str, Any]:
        trace_id = self._trace_id(tag)
        return coordinates(tag) if trace_id is None else {**coordinates(tag), "trace_id": trace_id}


class MetricsObserver(Observer):
    """Counts. A recording counts once its transcript or dead letter is acknowledged."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ended: dict[Hashable, Ended] = {}
        self._lagging: set[Partition] = set()

    def retrying(self, tag: Hashable, error: RecordingError, attempt: int, delay_ms: int) -> None:
        """Count by error class."""
        self._metrics.retries.labels(error.code).inc()

    def ended(self, ended: Ended) -> None:
        """Keep the end until it is acknowledged."""
        self._ended[ended.tag] = ended

    def acknowledged(self, tag: Hashable, fate: Fate) -> None:
        """Count the recording."""
        ended = self._ended.pop(tag)
        for stage, spent_ms in ended.stage_ms.items():
            self._metrics.stage_seconds.labels(stage).observe(spent_ms / 1000)
        if isinstance(ended.result, RecordingError) and fate == "retry":
            self._metrics.retries.labels(ended.result.code).inc()
        elif isinstance(ended.result, RecordingError):
            self._metrics.records.labels("dead_letter").inc()
            self._metrics.dead_letters.labels(ended.result.code, ended.result.stage).inc()
        else:
            self._metrics.records.labels(ended.result.status).inc()
            self._metrics.audio_seconds.inc(ended.result.duration_ms / 1000)
            self._metrics.queue_wait_seconds.observe(ended.result.timing.queued_ms / 1000)

    def skipped(self, skipped: Skipped) -> None:
        """Count the event."""
        self._metrics.records.labels("skipped").inc()

    def blocked(self, reason: str | None) -> None:
        """Show whether consumption is paused."""
        self._metrics.consumption_blocked.set(reason is not None)

    def rebalanced(self, change: str, partitions: Sequence[tuple[str, int]]) -> None:
        """Count the change; ends of partitions that are gone are never acknowledged."""
        self._metrics.rebalances.labels(change).inc()
        if change != "assigned":
            for tag in tags_of(partitions, self._ended):
                del self._ended[tag]

    def membership(self, membership: Membership) -> None:
        """Show the lag of the partitions this process has."""
        for gone in self._lagging - membership.lag.keys():
            self._metrics.consumer_lag_records.remove(*map(str, gone))
        self._lagging = set(membership.lag)
        for partition, records in membership.lag.items():
            self._metrics.consumer_lag_records.labels(*partition).set(records)

    def oldest(self, record_ms: int | None) -> None:
        """Show its age; the clocks of producer and consumer may differ a little."""
        self._metrics.oldest_record_age_seconds.set(
            0 if record_ms is None else max(0.0, time.time() - record_ms / 1000)
        )

    def committed(self, topic: str, partition: int, offset: int) -> None:
        """Show the offset."""
        self._metrics.commit_offset.labels(topic, partition).set(offset)

    def turned(self, load: Load) -> None:
        """Show what is in work."""
        self._metrics.in_flight_records.set(load.records)
        self._metrics.in_flight_bytes.set(load.bytes)
        self._metrics.in_flight_audio_seconds.set(load.audio_ms / 1000)


class EngineMetrics(EngineObserver):
    """Shows what the engine does. Called on the engine's thread: metrics may be set from any."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def busy(self, busy: bool) -> None:
        """Keep the time."""
        self._metrics.engine_busy.told(busy, time.monotonic())

    def batch(self, lengths_ms: Sequence[int]) -> None:
        """Show its size, and how much of it is padding."""
        self._metrics.batch_segments.observe(len(lengths_ms))
        self._metrics.batch_padding_ratio.observe(1 - sum(lengths_ms) / (len(lengths_ms) * max(lengths_ms)))

    def serving(self, model: ModelInfo) -> None:
        """Show them, and not those before."""
        self._metrics.model_info.clear()
        self._metrics.model_info.labels(**asdict(model)).set(1)

    def memory(self, usage: Mapping[str, int]) -> None:
        """Show it."""
        for kind, size in usage.items():
            self._metrics.gpu_memory_bytes.labels(kind).set(size)


class InWork(Observer):
    """What is in work, for the log of a process that is stuck. Written by the loop, read by the watchdog."""

    def __init__(self) -> None:
        self._records: dict[Hashable, tuple[Recording, str]] = {}

    def records(self) -> dict[Hashable, dict[str, Any]]:
        """What names each recording, and its stage, by tag. Any thread may ask."""
        return {
            tag: {**coordinates(tag), "bucket": recording.bucket, "key": recording.key, "stage": stage}
            for tag, (recording, stage) in self._records.copy().items()
        }

    def admitted(self, tag: Hashable, recording: Recording) -> None:
        """It is in work until its end is acknowledged."""
        self._records[tag] = recording, "waiting"

    def entered(self, tag: Hashable, stage: str) -> None:
        """Keep the stage."""
        if tag in self._records:
            self._records[tag] = self._records[tag][0], stage

    def acknowledged(self, tag: Hashable, fate: Fate) -> None:
        """Forget it."""
        self._records.pop(tag, None)

    def rebalanced(self, change: str, partitions: Sequence[tuple[str, int]]) -> None:
        """Forget what belongs to others now."""
        if change != "assigned":
            for tag in tags_of(partitions, self._records):
                del self._records[tag]


class HealthObserver(Observer):
    """Tells probes and watchdog that the loop turns, and whether the process can do its job."""

    def __init__(
        self,
        health: Health,
        bootstrap_servers: str,
        *,
        start: Deadline,
        turn: Deadline,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the observer, at the start of the process.

        Args:
            health: what probes ask.
            bootstrap_servers: as the settings name the broker.
            start: of the time until the loop turns first.
            turn: of one turn.
            started: called once, before the first record is taken.
        """
        self._started = started
        self._health = health
        self._bootstrap_servers = bootstrap_servers
        self._deadline = start
        self._turn = turn
        self._since_s = time.monotonic()

    def doing(self) -> list[Doing]:
        """What the loop does. Any thread may ask."""
        what = "in one turn" if self._deadline is self._turn else "starting"
        return [Doing("loop", what, self._since_s, self._deadline)]

    def membership(self, membership: Membership) -> None:
        """Tell whether the group can be reached, and has taken us in."""
        if not membership.coordinator:
            self._health.unreachable(
                f"no broker: the consumer group's coordinator cannot be reached (kafka.bootstrap_servers "
                f"{self._bootstrap_servers})"
            )
        elif membership.settled:
            self._health.joined()
        else:
            self._health.unreachable(None)

    def blocked(self, reason: str | None) -> None:
        """Tell why no records are taken."""
        self._health.blocked(reason)

    def stopping(self) -> None:
        """Tell that nothing more is to come."""
        self._health.stopping()

    def turned(self, load: Load) -> None:
        """Prove that the loop lives."""
        self._since_s = time.monotonic()
        if self._deadline is not self._turn:
            self._deadline = self._turn
            self._health.started()
            self._started()
