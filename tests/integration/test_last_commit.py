"""A member that leaves while the group comes together anew.

From a member's request to join again until all have joined, the broker answers nothing that the member sends; what it
committed meanwhile is then refused, for the group has another generation.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException

from consumer.demo.assets import SAMPLES
from tests.conftest import server_errors_fail
from tests.integration.world import PARTITIONS, World, open_world
from tests.servers.cluster import KafkaNode, Ports
from tests.servers.kafka import new_cluster_id
from tests.servers.process import steady_ports
from tests.servers.toxiproxy import Toxiproxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BROKER = "broker"
LATENCY_MS = 5000
"""How much later than others the group's leader learns that somebody has joined; so long the group waits for it."""
WAIT_S = 60.0


@pytest.fixture
def node(tcp_proxy: Toxiproxy) -> Iterator[KafkaNode]:
    """A broker with a second way to it, through a proxy."""
    internal, client, advertised, controller = steady_ports(4)
    tcp_proxy.add(BROKER, client, advertised)
    with (
        server_errors_fail(),
        KafkaNode(1, Ports(internal, client, advertised, controller), new_cluster_id(), {}) as node,
    ):
        yield node


@pytest.fixture
def world(node: KafkaNode, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    with open_world(node, demo_models, tmp_path, s3, announces=False) as world:
        yield world


@contextmanager
def guest(world: World, port: int) -> Iterator[None]:
    """A member of the service's group that reads and commits nothing."""
    member = Consumer(
        {
            "bootstrap.servers": f"127.0.0.1:{port}",
            "group.id": world.group.group_id,
            "partition.assignment.strategy": "cooperative-sticky",
            "enable.auto.commit": False,
            "heartbeat.interval.ms": 500,
            "session.timeout.ms": 30_000,
        }
    )
    member.subscribe([world.uploads])
    over = threading.Event()

    def take_part() -> None:
        while not over.is_set():
            member.poll(0.05)

    thread = threading.Thread(target=take_part)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        member.close()


def until_group_is(world: World, state: ConsumerGroupState, members: int) -> None:
    def there() -> bool:
        try:
            (described,) = world.kafka.admin.describe_consumer_groups([world.group.group_id]).values()
            found = described.result()
        except KafkaException:
            return False  # the coordinator of a new broker loads what there is
        return found.state == state and len(found.members) == members

    world.kafka.process.wait_until(there, WAIT_S)


def test_the_last_commit_is_repeated_until_the_group_takes_it(
    world: World, node: KafkaNode, tcp_proxy: Toxiproxy
) -> None:
    world.upload("silence.wav", (SAMPLES / "silence.wav").read_bytes())
    service = world.service(
        TINGXIE_KAFKA__COMMIT_INTERVAL_MS="600000",  # or there would be nothing left to commit
        TINGXIE_KAFKA__PROPERTIES=json.dumps({"heartbeat.interval.ms": 500, "debug": "protocol"}),
        TINGXIE_TELEMETRY__LOG_LEVEL="debug",
        TINGXIE_LIMITS__DRAIN_SECONDS="60",
    )

    def joins() -> int:
        return service.log.read_text().count("Sent JoinGroupRequest")

    with guest(world, node.ports.advertised):
        until_group_is(world, ConsumerGroupState.STABLE, 1)  # whoever comes first is the leader
        with service:
            until_group_is(world, ConsumerGroupState.STABLE, 2)
            for partition in range(PARTITIONS):
                world.produce(b'{"bucket": "audio-in", "key": "silence.wav"}', partition=partition)
            world.transcripts_read.until(lambda seen: len(seen) >= 1)
            joined = joins()
            tcp_proxy.slow(BROKER, LATENCY_MS)
            with guest(world, node.ports.internal):
                service.process.wait_until(lambda: joins() > joined, WAIT_S)
                until_group_is(world, ConsumerGroupState.PREPARING_REBALANCING, 3)  # it waits for its leader
                service.send(signal.SIGTERM)
                assert service.wait() == 0
            tcp_proxy.heal(BROKER)
    refused = [line["error"] for line in service.lines() if line["event"] == "commit refused"]
    assert any("generation" in each for each in refused), "or the group was together too soon"
    committed = sum(offset for offset, _ in world.group.committed_and_end())
    assert committed == len(world.transcripts_read.all())
