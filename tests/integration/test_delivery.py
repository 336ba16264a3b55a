"""Tries, retry topics, dead letters and the breaker on a real broker and a real bucket."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consumer.demo.samples import Sample
from tests.integration.harness import Seen, ServiceProcess, TopicReader
from tests.integration.media import SPOKEN, silence
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DELAYS = ("1s", "2s")
QUICK = {"TINGXIE_RETRY__ATTEMPTS": "2", "TINGXIE_RETRY__BACKOFF_MS": "10"}


@pytest.fixture
def world(kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    with open_world(kafka, demo_models, tmp_path, s3, delays=DELAYS) as world:
        yield world


def put(world: World, key: str, sample: Sample = SPOKEN[0]) -> None:
    """Upload a recording of which the bucket tells the topic."""
    world.upload(key, sample.path.read_bytes())


def test_a_recording_comes_back_from_a_retry_topic_and_others_do_not_wait(world: World) -> None:
    world.proxy.fail(times=3, match="GET */late.wav")
    with world.service(**QUICK) as service, closing(retry_reader(world, "1s")) as retries:
        put(world, "late.wav")
        put(world, "prompt.wav")
        assert world.transcript("prompt.wav").json["status"] == "completed"
        late = world.transcript("late.wav")
        assert late.json["status"] == "completed"
        (record,) = retries.until(bool)
        assert json.loads(record.value or b"")["Records"][0]["s3"]["object"]["key"] == "late.wav"
        assert record.headers["tingxie-attempt"] == "2"
        assert record.headers["kafka_dlt-original-topic"] == world.uploads
        history = json.loads(record.headers["tingxie-history"])
        assert [(each["class"], each["attempts"]) for each in history] == [("storage_unavailable", 2)]
        assert int(record.headers["tingxie-not-before"]) >= int(record.headers["tingxie-first-seen"]) + 1000
        assert late.json["timing"]["queued_ms"] >= 1000, "waiting in retry topics counts"
        world.group.wait_for_no_lag()
        assert 'tingxie_retries_total{class="storage_unavailable"}' in service.get("/metrics")[1]
    assert world.dead_letters_read.all() == []


def retry_reader(world: World, delay: str) -> TopicReader:
    return TopicReader(world.kafka.bootstrap_servers, f"{world.uploads}.retry.{delay}")


def test_after_the_last_round_it_is_a_dead_letter_that_tells_all_of_them(world: World) -> None:
    world.proxy.fail(times=None, match="GET */never.wav")
    with world.service(**QUICK):
        put(world, "never.wav")
        seen = world.dead_letter_of("never.wav")
        world.group.wait_for_no_lag()
    assert seen.headers["__dlq.errors.class"] == "storage_unavailable"
    assert seen.headers["__dlq.errors.retryable"] == "true"
    assert seen.headers["__dlq.errors.delivery.count"] == "6"
    assert seen.headers["__dlq.errors.topic"] == world.uploads
    assert len(json.loads(seen.headers["tingxie-history"])) == 3
    place = int(seen.headers["kafka_dlt-original-partition"]), int(seen.headers["kafka_dlt-original-offset"])
    with closing(world.uploads_read()) as uploads:
        (original,) = [each for each in uploads.all() if (each.partition, each.offset) == place]
    assert (original.key, original.value) == (seen.key, seen.value)


def test_what_waits_in_a_retry_topic_outlives_the_process(world: World) -> None:
    world.proxy.fail(times=2, match="GET */late.wav")
    with world.service(**QUICK) as first, closing(retry_reader(world, "1s")) as retries:
        put(world, "late.wav")
        retries.until(bool)
        first.send(signal.SIGKILL)
        first.wait()
    with world.service(**QUICK):
        assert world.transcript("late.wav").json["status"] == "completed"


KILLER = """
import os, signal
import consumer.engine.work as work

real = work.Work.begin

def planted(self, tag, job):
    if sum(track.samples for track in job.tracks) < {samples}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, tag, job)

work.Work.begin = planted
"""


def test_a_record_that_kills_the_process_is_a_dead_letter_and_its_neighbours_are_not(world: World) -> None:
    spoken = sorted(SPOKEN, key=lambda sample: sample.path.stat().st_size)
    world.upload("poison.wav", silence(0.1))
    for number in range(6):
        put(world, f"{number}.wav", spoken[number % len(spoken)])
    deaths = 0
    while True:
        service = world.planted(KILLER.format(samples=3000))
        service.launch()
        while service.process.alive() and world.group.lag() > 0:
            time.sleep(0.2)  # the test's own limit ends this
        if service.process.alive():
            break
        assert service.wait() == -signal.SIGKILL
        deaths += 1
        assert deaths <= 4, "it goes on and on"
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    assert deaths == 3
    dead = {
        each.headers["__dlq.errors.message"]: each.headers["__dlq.errors.class"]
        for each in world.dead_letters_read.all()
    }
    assert list(dead.values()) == ["poison_record"], dead
    assert "poison.wav" in next(iter(dead))
    assert {(each.key or b"").decode() for each in world.transcripts_read.all()} == {
        f"{BUCKET}/{number}.wav" for number in range(6)
    }


def test_too_many_dead_letters_pause_consumption_until_a_recording_goes_well(world: World) -> None:
    limits = {
        "TINGXIE_LIMITS__DEAD_LETTER_COUNT": "5",
        "TINGXIE_LIMITS__DEAD_LETTER_PROBE_SECONDS": "2",
        "TINGXIE_LIMITS__IN_FLIGHT_RECORDS": "5",
    }
    for number in range(12):
        world.produce(b"no event %d" % number, partition=0)
    with world.service(**limits) as service:
        world.dead_letters_read.until(lambda seen: len(seen) >= 5)
        service.process.wait_until(lambda: "tingxie_consumption_blocked 1.0" in service.get("/metrics")[1], 20)
        assert world.group.lag() > 0
        put(world, "good.wav")
        # Every probe is one of the bad ones until they are through; then the good one closes the breaker.
        assert world.transcript("good.wav").json["status"] == "completed"
        service.process.wait_until(lambda: "tingxie_consumption_blocked 0.0" in service.get("/metrics")[1], 20)
        world.group.wait_for_no_lag()
    assert len(world.dead_letters_read.all()) == 12, "nothing was dropped"
    reasons = [line["reason"] for line in service.lines() if line["event"] == "consumption is paused"]
    assert "limits.dead_letter_share" in reasons[0]


def test_a_person_can_let_records_in_again(world: World) -> None:
    limits = {"TINGXIE_LIMITS__DEAD_LETTER_COUNT": "5", "TINGXIE_LIMITS__DEAD_LETTER_PROBE_SECONDS": "3600"}
    for _ in range(5):
        world.produce(b"no event", partition=0)
    with world.service(**limits) as service:
        service.process.wait_until(lambda: "tingxie_consumption_blocked 1.0" in service.get("/metrics")[1], 20)
        put(world, "good.wav")
        service.send(signal.SIGUSR1)
        assert world.transcript("good.wav").json["status"] == "completed"


def test_without_ordering_events_of_one_object_do_not_wait_for_each_other(world: World) -> None:
    put(world, "same.wav")
    world.proxy.stall(times=1, match="GET */same.wav")
    with world.service(TINGXIE_KAFKA__ORDERING="none"):
        world.announce("same.wav")
        assert world.transcript("same.wav").json["status"] == "completed"
        world.proxy.release()
        world.transcript("same.wav", count=2)


def recorded(seen: list[Seen]) -> list[bytes]:
    """The events that announce a recording; the bucket also sends a test event."""
    return [each.value for each in seen if each.value and b"ObjectCreated" in each.value]


PROTOCOLS = {
    "classic": {},
    "consumer": {"TINGXIE_KAFKA__GROUP_PROTOCOL": "consumer", "TINGXIE_KAFKA__PROPERTIES": "{}"},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_that_come_and_go_in_order_repeat_nothing(world: World, protocol: str) -> None:
    settings = {**PROTOCOLS[protocol], "TINGXIE_LIMITS__REVOKE_SECONDS": "30"}
    keys = [f"{number:03}.wav" for number in range(60)]
    for number, key in enumerate(keys):
        put(world, key, SPOKEN[number % len(SPOKEN)])
    with closing(world.uploads_read()) as uploads:
        uploads.until(lambda seen: len(recorded(seen)) >= len(keys))
        # The bucket's key is constant, so that its events lie in one partition: spread them.
        for value in recorded(uploads.records):
            world.produce(value)
    with world.service(**settings) as first:
        world.transcripts_read.until(lambda seen: len(seen) >= 10)
        with world.service(**settings) as second:
            world.transcripts_read.until(lambda seen: len(seen) >= 60)
            second.send(signal.SIGTERM)
            assert second.wait() == 0
        world.group.wait_for_no_lag()
        assert first.process.alive()
    assert len(world.transcripts_read.all()) == 2 * len(keys), "each event once: of those by the bucket, and of ours"
    assert world.dead_letters_read.all() == []


def test_a_static_member_that_restarts_moves_no_partition(world: World) -> None:
    properties = json.dumps({"session.timeout.ms": 45000, "heartbeat.interval.ms": 500})
    named = {"TINGXIE_KAFKA__PROPERTIES": properties}
    with (
        world.service(**named, TINGXIE_KAFKA__INSTANCE_ID="a") as first,
        world.service(**named, TINGXIE_KAFKA__INSTANCE_ID="b") as second,
    ):
        second.process.wait_until(lambda: held(second) >= 2, 60)
        before = moves(first)
        second.send(signal.SIGKILL)
        second.wait()
        with world.service(**named, TINGXIE_KAFKA__INSTANCE_ID="b") as third:
            third.process.wait_until(lambda: held(third) >= 2, 60)
            put(world, "any.wav")
            world.transcript("any.wav")
        assert moves(first) == before


def moves(service: ServiceProcess) -> list[tuple[str, int]]:
    """Partitions that came and went."""
    lines = [line for line in service.lines() if line.get("event") == "rebalanced"]
    return [(line["change"], len(line["partitions"])) for line in lines if line["partitions"]]


def held(service: ServiceProcess) -> int:
    """Partitions that it has; with two members, each has two or three of five."""
    return sum(count if change == "assigned" else -count for change, count in moves(service))
