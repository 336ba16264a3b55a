"""The lag that the Kafka client tells, on a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from confluent_kafka import Producer

from consumer.kafka.membership import Membership
from consumer.kafka.metadata import Progress
from consumer.kafka.offsets import Commit
from consumer.kafka.records import Partition
from consumer.kafka.source import Source
from consumer.settings import KafkaSettings
from tests.servers import KafkaServer

pytestmark = pytest.mark.integration


class Listener:
    """Keeps what it was told last."""

    def __init__(self) -> None:
        self.lag: Mapping[Partition, int] = {}

    def assigned(self, partitions: Mapping[Partition, Progress | None]) -> None:
        pass

    def revoked(self, partitions: Sequence[Partition]) -> None:
        pass

    def lost(self, partitions: Sequence[Partition]) -> None:
        pass

    def membership(self, membership: Membership) -> None:
        self.lag = membership.lag


def test_lag_is_told_from_before_the_first_commit_on(kafka: KafkaServer, unique_name: Callable[[str], str]) -> None:
    topic, group = unique_name("uploads"), unique_name("group")
    kafka.create_topics(topic, partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    listener = Listener()
    source = Source(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, group_id=group), [topic], listener)

    def produce(count: int) -> None:
        for _ in range(count):
            producer.produce(topic, b"upload", partition=0)
        assert producer.flush(20) == 0

    def poll_until(first: int) -> None:
        deadline = time.monotonic() + 60
        while listener.lag != {(topic, 0): first, (topic, 1): 0}:
            assert time.monotonic() < deadline, listener.lag
            source.poll(0.05)

    try:
        produce(5)
        source.subscribe()
        poll_until(5)
        source.pause()
        source.commit({(topic, 0): Commit(3, "")}, wait=True)
        poll_until(2)
        produce(4)
        source.resume()
        poll_until(6)
    finally:
        source.close()
