from __future__ import annotations

import time

import pytest

from consumer.events.recording import Recording
from consumer.kafka.membership import Membership
from consumer.kafka.records import Ticket
from consumer.operations.health import Health
from consumer.operations.metrics import Metrics
from consumer.pipeline.observer import Load
from consumer.pipeline.telemetry import EngineMetrics, HealthObserver, InWork, MetricsObserver
from consumer.stage import Deadline

START, TURN = Deadline(1800.0, "engine.load_seconds"), Deadline(120.0, "limits.stall_seconds")
NOTHING = Load(records=0, bytes=0, audio_ms=0)
FIRST, SECOND = Ticket("uploads", 0, 5, 1, 0), Ticket("uploads", 1, 6, 1, 0)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def observer(health: Health) -> HealthObserver:
    return HealthObserver(health, "broker:9092", start=START, turn=TURN)


def test_the_first_turn_ends_the_start(observer: HealthObserver, health: Health) -> None:
    (start,) = observer.doing()
    assert (start.thread, start.what, start.deadline) == ("loop", "starting", START)
    observer.turned(NOTHING)
    (turn,) = observer.doing()
    assert (turn.what, turn.deadline) == ("in one turn", TURN)
    assert turn.since_s > start.since_s
    assert not health.starting


def test_readiness_follows_the_group(observer: HealthObserver, health: Health) -> None:
    observer.turned(NOTHING)
    observer.membership(Membership(coordinator=True, settled=False))
    assert health.ready() == "joining the consumer group"
    observer.membership(Membership(coordinator=True, settled=True))
    assert health.ready() is None
    observer.membership(Membership(coordinator=True, settled=False))
    assert health.ready() is None, "a rebalance is no trouble"
    observer.membership(Membership(coordinator=False, settled=False))
    assert "kafka.bootstrap_servers broker:9092" in str(health.ready())
    observer.membership(Membership(coordinator=True, settled=True))
    assert health.ready() is None


def test_the_loop_says_when_it_takes_nothing(observer: HealthObserver, health: Health) -> None:
    observer.turned(NOTHING)
    observer.membership(Membership(coordinator=True, settled=True))
    observer.blocked("too many dead letters")
    assert health.ready() == "too many dead letters"
    observer.blocked(None)
    assert health.ready() is None
    observer.stopping()
    assert str(health.ready()).startswith("stopping")


def in_work_of_two() -> InWork:
    in_work = InWork()
    in_work.admitted(FIRST, Recording(bucket="audio-in", key="a.wav"))
    in_work.admitted(SECOND, Recording(bucket="audio-in", key="b.wav"))
    in_work.entered(FIRST, "fetch")
    in_work.entered(FIRST, "decode")
    return in_work


def test_what_is_in_work_is_known_with_its_stage() -> None:
    records = in_work_of_two().records()
    named = {"topic": "uploads", "partition": 0, "offset": 5, "recording": 0, "bucket": "audio-in", "key": "a.wav"}
    assert records[FIRST] == {**named, "stage": "decode"}
    assert records[SECOND]["stage"] == "waiting"


def test_what_is_acknowledged_is_no_longer_in_work() -> None:
    in_work = in_work_of_two()
    in_work.acknowledged(FIRST, "transcript")
    in_work.acknowledged(Ticket("uploads", 9, 9, 1, 0), "dead letter")  # refused before it was admitted
    in_work.entered(FIRST, "publish")
    assert list(in_work.records()) == [SECOND]


@pytest.mark.parametrize("change", ["revoked", "lost"])
def test_what_others_have_now_is_no_longer_in_work(change: str) -> None:
    in_work = in_work_of_two()
    in_work.rebalanced("assigned", [("uploads", 2)])
    assert len(in_work.records()) == 2
    in_work.rebalanced(change, [("uploads", 1)])
    assert list(in_work.records()) == [FIRST]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def lag_of(metrics: Metrics, partition: int) -> float | None:
    labels = {"topic": "uploads", "partition": str(partition)}
    return metrics.registry.get_sample_value("tingxie_consumer_lag_records", labels)


def test_lag_is_shown_of_the_partitions_this_process_has(metrics: Metrics) -> None:
    observer = MetricsObserver(metrics)
    observer.membership(Membership(coordinator=True, settled=True, lag={("uploads", 0): 7, ("uploads", 1): 8}))
    assert (lag_of(metrics, 0), lag_of(metrics, 1)) == (7, 8)
    observer.membership(Membership(coordinator=True, settled=True, lag={("uploads", 1): 9}))
    assert (lag_of(metrics, 0), lag_of(metrics, 1)) == (None, 9)


def test_the_oldest_record_grows_older_until_nothing_is_in_work(metrics: Metrics) -> None:
    observer = MetricsObserver(metrics)
    now_ms = time.time_ns() // 1_000_000
    shown = []
    for record_ms in (now_ms - 90_000, now_ms + 60_000, None):
        observer.oldest(record_ms)
        shown.append(metrics.registry.get_sample_value("tingxie_oldest_record_age_seconds"))
    assert shown == [pytest.approx(90, abs=20), 0, 0]


def test_batches_show_their_size_and_padding(metrics: Metrics) -> None:
    EngineMetrics(metrics).batch([1000, 1000, 400])
    value = metrics.registry.get_sample_value
    assert value("tingxie_batch_segments_sum") == 3
    assert value("tingxie_batch_padding_ratio_sum") == pytest.approx(0.2)


def test_the_engine_is_busy_until_it_has_nothing_to_do(metrics: Metrics) -> None:
    engine = EngineMetrics(metrics)
    engine.busy(True)
    first = metrics.registry.get_sample_value("tingxie_engine_busy_ratio")
    second = metrics.registry.get_sample_value("tingxie_engine_busy_ratio")
    engine.busy(False)
    assert first is not None
    assert second is not None
    assert 0 < first < second


def test_memory_is_shown_where_there_is_a_gpu(metrics: Metrics) -> None:
    def reserved() -> float | None:
        return metrics.registry.get_sample_value("tingxie_gpu_memory_bytes", {"kind": "reserved"})

    assert reserved() is None
    EngineMetrics(metrics).memory({"reserved": 3, "used": 4, "total": 10})
    assert reserved() == 3
