"""Three nodes of Apache Kafka (KRaft) that can be killed, frozen and brought back one by one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException

from tests.servers.admin import REQUEST_S, Administered
from tests.servers.cache import ServerError
from tests.servers.kafka import NAME, START_S, KafkaServer, new_cluster_id
from tests.servers.process import steady_ports

NODES = 3
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one node.

    Attributes:
        internal: other brokers, and clients that must not suffer from faults of the network.
        client: where the service's connections arrive.
        advertised: what the service is told to connect to: ``client``, or a proxy before it.
        controller: the quorum.
    """

    internal: int
    client: int
    advertised: int
    controller: int


class KafkaNode(KafkaServer):
    """Broker and controller of a cluster, in one process of about 300 MB.

    Args:
        number: ``node.id``, from 1.
        ports: of this node.
        cluster_id: what the storage of all nodes is formatted with.
        properties: what all nodes have in common.
    """

    def __init__(self, number: int, ports: Ports, cluster_id: str, properties: Mapping[str, str]) -> None:
        super().__init__(properties)
        self.name = f"{NAME} node {number}"
        self.number = number
        self.ports = ports
        self._cluster_id = cluster_id

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()

    def _choose_ports(self) -> list[int]:
        return [self.ports.internal, self.ports.controller]

    def _completed(self, single_node: Mapping[str, str]) -> Mapping[str, str]:
        ports = self.ports
        return {
            **single_node,
            "node.id": str(self.number),
            "listeners": f"INTERNAL://127.0.0.1:{ports.internal},CLIENT://127.0.0.1:{ports.client},"
            f"CONTROLLER://127.0.0.1:{ports.controller}",
            "advertised.listeners": f"INTERNAL://127.0.0.1:{ports.internal},CLIENT://127.0.0.1:{ports.advertised}",
            "listener.security.protocol.map": "INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INTERNAL",
            **self._properties,
        }


class KafkaCluster(Administered):
    """Nodes with every topic, internal ones too, on all of them; two must have a record before it is acknowledged.

    Args:
        behind: given the client ports of the nodes, puts something before them and returns the ports it listens on;
            those are what clients are told to connect to.
        properties: broker properties that replace or extend the usual ones.
    """

    def __init__(
        self,
        behind: Callable[[Sequence[int]], Sequence[int]] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        chosen = steady_ports(3 * NODES)
        internal, client, controller = chosen[:NODES], chosen[NODES : 2 * NODES], chosen[2 * NODES :]
        advertised = client if behind is None else behind(client)
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controller, start=1))
        common = {"controller.quorum.voters": voters, **_REPLICATED, **(properties or {})}
        ports = [Ports(*each) for each in zip(internal, client, advertised, controller, strict=True)]
        cluster_id = new_cluster_id()
        self.nodes = [KafkaNode(number, each, cluster_id, common) for number, each in enumerate(ports, start=1)]

    @property
    def bootstrap_servers(self) -> str:
        """Of all nodes, past whatever stands before them."""
        return ",".join(f"127.0.0.1:{node.ports.internal}" for node in self.nodes)

    @property
    def client_servers(self) -> str:
        """Of all nodes, as a service is told to connect."""
        return ",".join(f"127.0.0.1:{node.ports.advertised}" for node in self.nodes)

    def start(self) -> None:
        """Start all nodes and return when each has joined.

        Raises:
            ServerError: they did not within two minutes; the message ends with the log of one.
        """
        for node in self.nodes:
            node.launch()
        self.wait_until_whole()

    def wait_until_whole(self, timeout_s: float = START_S) -> None:
        """Return when all nodes are there and every partition has all its replicas in sync.

        Raises:
            ServerError: a node ended, or it took too long.
        """
        deadline = time.monotonic() + timeout_s
        while not self.whole():
            for node in self.nodes:
                if not node.process.alive():
                    raise ServerError(f"{node.name} is not running. The end of its log:\n{node.log_tail()}")
            if time.monotonic() > deadline:
                tails = "\n".join(f"{node.name}:\n{node.log_tail()[-2000:]}" for node in self.nodes)
                raise ServerError(f"{NAME}: the cluster was not whole within {timeout_s:.0f} s\n{tails}")
            time.sleep(POLL_S)

    def leader(self, topic: str, partition: int) -> KafkaNode | None:
        """The node that leads a partition; None while there is none.

        Raises:
            KafkaException: no node answered.
        """
        leader = self.admin.list_topics(topic, timeout=REQUEST_S).topics[topic].partitions[partition].leader
        return next((node for node in self.nodes if node.number == leader), None)

    def save(self, folder: Path) -> None:
        """Kill all nodes and copy what they hold and logged, for whoever looks into it."""
        for node in self.nodes:
            node.kill()
            shutil.copytree(node._folder, folder / f"node-{node.number}", dirs_exist_ok=True)

    def close(self) -> None:
        """Stop all nodes and remove their data."""
        self._admin = None
        for node in self.nodes:
            if node._process is not None:
                node.kill()  # in order, one after the other, they would wait for each other
            node.close()

    def whole(self) -> bool:
        """Whether all nodes are there and every partition has all its replicas in sync, asked for two seconds."""
        with suppress(KafkaException):
            metadata = self.admin.list_topics(timeout=2.0)
            partitions = [each for topic in metadata.topics.values() for each in topic.partitions.values()]
            in_sync = all(each.leader > 0 and len(each.isrs) == len(each.replicas) for each in partitions)
            return in_sync and len(metadata.brokers) == len(self.nodes)
        return False

    def _wait_for_leaders(self, topics: Sequence[str], partitions: int) -> None:
        self.wait_until_whole()


_REPLICATED = {
    "default.replication.factor": str(NODES),
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": str(NODES),
    "transaction.state.log.replication.factor": str(NODES),
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": str(NODES),
    "share.coordinator.state.topic.min.isr": "2",
    # A node that was killed is missed after seconds: tests wait for it.
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "6000",
    "replica.lag.time.max.ms": "10000",
}
