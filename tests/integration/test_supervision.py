"""What is stuck is named, shown and ended; readiness says whether the process can do its job."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consumer.kafka.membership import Membership
from consumer.kafka.metadata import Progress
from consumer.kafka.records import Partition
from consumer.kafka.source import Source
from consumer.settings import KafkaSettings
from tests.integration.harness import START_S, WORK_S, ServiceProcess
from tests.integration.media import SPOKEN
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FOUR = SPOKEN[:4]
GOOD = SPOKEN[0]
SHORT = "3"
"""Seconds of the deadline under test: far beyond a turn or a batch of the small model, even on a busy machine."""


ENGINE = """
from consumer.engine.recogniser import Recogniser as Owner

real, calls = Owner.encode, []

def planted_hang(self, *arguments, **options):
    calls.append(1)
    if len(calls) > 2:
        {hang}
    return real(self, *arguments, **options)

Owner.encode = planted_hang
"""

LOOP = """
from consumer.pipeline.flow import Flow as Owner

real = Owner.step

def planted_hang(self, now):
    ended = real(self, now)
    while ended:
        time.sleep(1)
    return ended

Owner.step = planted_hang
"""

FETCH = """
from consumer.storage.objects import ObjectFetcher as Owner

def planted_hang(self, recording):
    while True:
        time.sleep(1)

Owner.fetch = planted_hang
"""


def launch(world: World, plant: str, **settings: str) -> ServiceProcess:
    """A service with a fault in it, and recordings for it to meet the fault with."""
    for sample in FOUR:
        world.upload(sample.name, sample.path.read_bytes())
    service = world.planted("import ctypes, time\n" + plant, **settings)
    service.launch()
    return service


def all_is_done_by_the_next_member(world: World) -> None:
    assert world.group.lag() > 0, "what was in work is not committed"
    with world.service():
        world.group.wait_for_no_lag()
    keys = {(each.key or b"").decode() for each in world.transcripts_read.all()}
    assert keys == {f"{BUCKET}/{sample.name}" for sample in FOUR}
    assert world.dead_letters_read.all() == []


def events(service: ServiceProcess, name: str) -> list[dict[str, Any]]:
    return [line for line in service.lines() if line["event"] == name]


@pytest.mark.parametrize(
    ("plant", "thread", "setting", "settings"),
    [
        (
            ENGINE.format(hang="time.sleep(3600)"),
            "engine",
            "engine.stall_seconds",
            {"TINGXIE_ENGINE__STALL_SECONDS": SHORT},
        ),
        (LOOP, "loop", "limits.stall_seconds", {"TINGXIE_LIMITS__STALL_SECONDS": SHORT}),
        (
            FETCH,
            "fetch-0",
            "limits.fetch_seconds",
            {
                "TINGXIE_LIMITS__FETCH_SECONDS": "1",
                "TINGXIE_LIMITS__FETCH_WORKERS": "1",
                "TINGXIE_STORAGE__CONNECT_TIMEOUT_S": "1",
                "TINGXIE_STORAGE__READ_TIMEOUT_S": "1",
            },
        ),
    ],
    ids=["engine", "loop", "fetch"],
)
def test_what_hangs_is_named_shown_and_ended(
    world: World, plant: str, thread: str, setting: str, settings: dict[str, str]
) -> None:
    doomed = launch(world, plant, **settings)
    answers: list[tuple[int, str]] = []

    def dead() -> bool:
        answers.append(doomed.get("/live"))
        return answers[-1][0] == 503

    doomed.process.wait_until(dead, START_S)
    assert f"thread {thread} has been" in answers[-1][1]
    assert setting in answers[-1][1]
    assert doomed.get("/ready")[0] == 503
    assert doomed.get("/metrics")[0] == 200
    assert doomed.wait(60) == 1
    (stuck,) = events(doomed, "stuck")
    named = {each["key"] for line in events(doomed, "also in work") for each in line["records"]}
    named |= {each["key"] for each in stuck["records"]}
    assert named
    assert named <= {sample.name for sample in FOUR}
    assert (thread == "loop") == (stuck["records"] == []), "a stage knows which recordings it has in hand"
    frames = {line["thread"]: line["stack"] for line in events(doomed, "stack")}
    assert "planted_hang" in frames[thread]
    assert doomed.lines()[-1]["reason"].startswith(f"thread {thread}")
    all_is_done_by_the_next_member(world)


def test_a_native_call_that_keeps_the_interpreter_ends_the_process_with_its_stacks(world: World) -> None:
    doomed = launch(
        world,
        ENGINE.format(hang="ctypes.PyDLL(None).sleep(3600)"),
        TINGXIE_ENGINE__STALL_SECONDS=SHORT,
        TINGXIE_LIMITS__STALL_SECONDS=SHORT,
    )
    assert doomed.wait(START_S) == 1
    text = doomed.log.read_text()
    assert "Timeout (0:00:03)!" in text
    assert "in planted_hang" in text
    assert events(doomed, "stuck") == [], "no Python code could run"
    all_is_done_by_the_next_member(world)


def test_a_process_that_was_frozen_goes_on(world: World) -> None:
    def members() -> int:
        described = world.kafka.admin.describe_consumer_groups([world.group.group_id])
        return len(described[world.group.group_id].result(20).members)

    with world.service(TINGXIE_LIMITS__STALL_SECONDS=SHORT) as service:
        assert members() == 1
        service.process.pause()
        service.process.wait_until(lambda: members() == 0, WORK_S)  # twice as long as the deadline
        service.process.resume()
        world.upload(GOOD.name, GOOD.path.read_bytes())
        assert world.transcript(GOOD.name).json["status"] == "completed"
        assert service.get("/live") == (200, "ok\n")
        assert events(service, "stuck") == []


def test_signals_show_the_stacks_and_drain(world: World) -> None:
    with world.service() as service:
        service.send(signal.SIGQUIT)
        service.process.wait_until(lambda: "in _take_up" in service.log.read_text(), WORK_S)
        assert "most recent call first" in service.log.read_text()
        world.proxy.stall(times=1, match=f"GET */{GOOD.name}")
        world.upload(GOOD.name, GOOD.path.read_bytes())
        service.process.wait_until(lambda: "tingxie_in_flight_records 1.0" in service.get("/metrics")[1], WORK_S)
        service.send(signal.SIGTERM)
        service.process.wait_until(lambda: service.get("/ready")[0] == 503, WORK_S)
        assert service.get("/ready")[1].startswith("stopping")
        assert service.get("/live") == (200, "ok\n")
        world.proxy.release()
        assert service.wait() == 0
    assert world.transcript(GOOD.name).json["status"] == "completed"


def test_readiness_follows_the_broker(demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> None:
    with KafkaServer() as broker, open_world(broker, demo_models, tmp_path, s3) as world, world.service() as service:
        assert service.get("/ready") == (200, "ok\n")
        broker.process.kill()
        service.process.wait_until(lambda: service.get("/ready")[0] == 503, WORK_S)
        assert f"kafka.bootstrap_servers {broker.bootstrap_servers}" in service.get("/ready")[1]
        assert service.get("/live") == (200, "ok\n"), "a restart would not help"
        assert service.get("/metrics")[0] == 200
        broker.start()
        service.process.wait_until(lambda: service.get("/ready")[0] == 200, WORK_S)
        world.upload(GOOD.name, GOOD.path.read_bytes())
        assert world.transcript(GOOD.name).json["status"] == "completed"


class Member:
    """A member of a group that takes no records; keeps what it is told."""

    def __init__(self, broker: str, topic: str, group: str, properties: dict[str, str]) -> None:
        self.partitions: set[Partition] = set()
        self.now = Membership(coordinator=False, settled=False)
        settings = KafkaSettings.model_validate(
            {"bootstrap_servers": broker, "group_id": group, "properties": properties}
        )
        self.source = Source(settings, [topic], self)
        self.source.subscribe()

    def assigned(self, partitions: Mapping[Partition, Progress | None]) -> None:
        self.partitions.update(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.partitions.difference_update(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def membership(self, membership: Membership) -> None:
        self.now = membership


@pytest.mark.parametrize(
    "properties",
    [{"statistics.interval.ms": "0"}, {"group.protocol": "consumer"}],
    ids=["classic, statistics not wanted", "KIP-848"],
)
def test_a_member_without_partitions_is_one(
    kafka: KafkaServer, unique_name: Callable[[str], str], properties: dict[str, str]
) -> None:
    topic, group = unique_name("uploads"), unique_name("group")
    kafka.create_topics(topic)
    members = [Member(kafka.bootstrap_servers, topic, group, properties) for _ in range(3)]
    try:
        while not all(each.now.settled for each in members):
            for each in members:
                each.source.poll(0.05)
        assert sum(len(each.partitions) for each in members) == 1
    finally:
        for each in members:
            each.source.close()
