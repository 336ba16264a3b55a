"""Cluster, proxies and readers do what the suite relies on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from consumer.kafka.metadata import Progress, encode
from tests.faults import commits
from tests.faults.members import now_ms
from tests.faults.reading import read_topic
from tests.faults.stage import BUCKET, BUCKET_PROXY, Stage, Topics
from tests.servers.cluster import KafkaCluster

DELIVERY_S = 60.0
LATENCY_MS = 2000
CLOCK_MS = 60_000


@pytest.fixture
def topics(stage: Stage) -> Topics:
    topics = Topics.new()
    stage.create(topics)
    return topics


@pytest.fixture
def cluster(stage: Stage) -> Iterator[KafkaCluster]:
    assert stage.cluster is not None
    yield stage.cluster
    stage.cluster.wait_until_whole()


def delivered(properties: dict[str, Any], topic: str, value: bytes, timeout_s: float = DELIVERY_S) -> bool:
    """Whether the cluster acknowledges a record within the time."""
    errors: list[Any] = []
    producer = Producer({**properties, "message.timeout.ms": round(timeout_s * 1000)})
    producer.produce(topic, value, partition=0, on_delivery=lambda error, _: errors.append(error))
    producer.flush(timeout_s + 10)
    (error,) = errors
    return error is None


def test_an_acknowledged_record_survives_the_death_of_its_leader(
    stage: Stage, topics: Topics, cluster: KafkaCluster
) -> None:
    assert delivered(stage.direct, topics.uploads, b"before")
    first = cluster.leader(topics.uploads, 0)
    assert first is not None
    first.kill()
    try:
        assert delivered(stage.direct, topics.uploads, b"meanwhile")
        assert cluster.leader(topics.uploads, 0) not in {None, first}
    finally:
        first.launch()
    cluster.wait_until_whole()
    assert [record.value for record in read_topic(stage.direct, topics.uploads)] == [b"before", b"meanwhile"]


def test_records_survive_the_death_of_all_nodes(stage: Stage, topics: Topics, cluster: KafkaCluster) -> None:
    assert delivered(stage.direct, topics.uploads, b"before")
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.launch()
    cluster.wait_until_whole()
    assert [record.value for record in read_topic(stage.direct, topics.uploads)] == [b"before"]


@pytest.mark.parametrize("fault", ["refuse", "swallow"])
def test_clients_behind_the_proxies_are_cut_off_and_the_others_are_not(
    fault: str, stage: Stage, topics: Topics
) -> None:
    behind = {"bootstrap.servers": stage.client_servers, "log_level": 0}
    assert delivered(behind, topics.uploads, b"1")
    for name in [*stage.broker_proxies, *stage.broker_proxies]:  # twice, as when one fault begins before another ends
        getattr(stage.tcp, fault)(name)
    try:
        assert not delivered(behind, topics.uploads, b"2", timeout_s=3)
        assert delivered(stage.direct, topics.uploads, b"3")
    finally:
        for name in stage.broker_proxies:
            stage.tcp.heal(name)
    assert delivered(behind, topics.uploads, b"4")


def test_a_slow_proxy_is_slow_until_it_is_healed(stage: Stage) -> None:
    with closing(stage.s3(stage.gateway.endpoint_url)) as s3:
        s3.put_object(Bucket=BUCKET, Key="slow.wav", Body=b"x")
    with closing(stage.s3(stage.endpoint_url)) as s3:

        def taken_s() -> float:
            begun = time.monotonic()
            assert s3.get_object(Bucket=BUCKET, Key="slow.wav")["Body"].read() == b"x"
            return time.monotonic() - begun

        stage.tcp.slow(BUCKET_PROXY, LATENCY_MS)
        try:
            assert taken_s() >= LATENCY_MS / 1000
        finally:
            stage.tcp.heal(BUCKET_PROXY)
        assert taken_s() < LATENCY_MS / 1000


def test_a_proxy_server_that_is_locked_up_is_started_anew_as_it_was(stage: Stage) -> None:
    first, second, *_ = stage.broker_proxies
    stage.tcp.refuse(first)
    stage.tcp.slow(second, LATENCY_MS)
    stage.tcp.process.pause()
    try:
        stage.tcp.heal(second)
        state = stage.tcp.state()
    finally:
        for name in (first, second):
            stage.tcp.heal(name)
    assert not state[first]["enabled"]
    assert state[second]["enabled"]
    assert not state[second]["toxics"]
    assert all(proxy["enabled"] for proxy in stage.tcp.state().values())


def test_the_brokers_own_record_of_commits_is_read(stage: Stage, topics: Topics) -> None:
    metadata = encode(Progress(5, 9, {5: 0, 7: 1}))
    with closing(Consumer({**stage.direct, "group.id": topics.group})) as consumer:
        for offset, text in ((2, ""), (5, metadata)):
            asked = TopicPartition(topics.uploads, 3, offset, metadata=text)
            (answer,) = consumer.commit(offsets=[asked], asynchronous=False)
            assert answer.error is None
    read = commits.commits_of(read_topic(stage.direct, commits.TOPIC), topics.group)
    assert [(each.topic, each.partition, each.offset, each.beyond) for each in read] == [
        (topics.uploads, 3, 2, frozenset()),
        (topics.uploads, 3, 5, frozenset({6, 8})),
    ]
    assert abs(read[0].at_ms - now_ms()) < CLOCK_MS
