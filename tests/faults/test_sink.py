"""What the sink reports as delivered is in the topic, also when replicas come back while a new producer begins."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from consumer.kafka.sink import RECORD_BYTES, OutgoingRecord, Sink
from consumer.settings import KafkaSettings
from tests.faults.faults import set_in_sync
from tests.faults.reading import read_topic
from tests.faults.stage import Stage
from tests.servers.cluster import KafkaCluster

TURNS = 40
"""Each loses something one time in twenty, where several requests are on their way at once."""
RECORDS = 36
REFUSED_S = 0.4
"""Some tries long: the client waits a tenth of a second between them."""
DELIVERY_S = 60.0


@pytest.fixture
def topic(stage: Stage) -> Iterator[str]:
    """A topic on three nodes of which one is gone."""
    cluster = stage.cluster
    assert cluster is not None
    name = f"delivered-{uuid.uuid4().hex[:8]}"
    cluster.create_topics(name, partitions=6)
    cluster.nodes[0].kill()
    wait_until_missed(cluster, name)
    yield name
    cluster.nodes[0].launch()
    cluster.wait_until_whole()


def wait_until_missed(cluster: KafkaCluster, topic: str) -> None:
    deadline = time.monotonic() + DELIVERY_S
    while True:
        partitions = cluster.admin.list_topics(topic, timeout=20).topics[topic].partitions.values()
        if all(each.leader > 0 and len(each.isrs) == len(cluster.nodes) - 1 for each in partitions):
            return
        assert time.monotonic() < deadline, "the cluster does not miss its node"


def test_what_is_reported_as_delivered_is_in_the_topic(stage: Stage, topic: str) -> None:
    assert stage.cluster is not None
    # Batches of one record make many requests of few records, as a service makes that is not busy.
    properties = {"batch.num.messages": 1, "linger.ms": 0}
    settings = KafkaSettings(bootstrap_servers=stage.bootstrap_servers, properties=properties)
    reported: set[bytes] = set()
    for turn in range(TURNS):
        set_in_sync(stage.cluster.admin, topic, 3)
        with closing(Sink(settings, RECORD_BYTES)) as sink:
            for number in range(RECORDS):
                value = f"{turn}/{number}".encode()
                assert sink.produce(value, OutgoingRecord(topic, value, value, ()))
            until = time.monotonic() + REFUSED_S
            while time.monotonic() < until:
                assert sink.deliveries() == [], "the topic takes nothing yet"
            set_in_sync(stage.cluster.admin, topic, 2)
            assert sink.flush(DELIVERY_S) == 0
            for delivery in sink.deliveries():
                assert delivery.error is None
                assert isinstance(delivery.tag, bytes)
                reported.add(delivery.tag)
    assert len(reported) == TURNS * RECORDS
    found = {record.value for record in read_topic(stage.direct, topic)}
    assert sorted(reported - found) == []
