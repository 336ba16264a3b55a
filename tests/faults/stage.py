"""What a run plays on: a cluster behind proxies, a bucket behind proxies, and topics of its own."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from consumer.demo.assets import demo_engine_settings
from tests.faults.spool import small_spool
from tests.servers import FaultProxy, VersityGateway
from tests.servers.cluster import KafkaCluster
from tests.servers.process import steady_ports
from tests.servers.settings import kafka_settings, storage_settings
from tests.servers.toxiproxy import Toxiproxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "audio-in"
BUCKET_PROXY = "bucket"
PARTITIONS = 6
RETRY_DELAYS = ("2s", "10s")
REQUEST_S = 30.0
IN_FLIGHT = 32
SPOOL_FREE = 8 * 1024 * 1024
"""Bytes; the default is more than the whole disk that the spool has here."""

SESSION = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000, "max.poll.interval.ms": 10_000}
"""Of the classic protocol: a member that is gone or frozen is missed after seconds."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics and group of one run, empty at its start."""

    uploads: str
    transcripts: str
    dead_letters: str
    retries: tuple[str, ...]
    group: str

    @classmethod
    def new(cls) -> Topics:
        """Names nobody else uses."""
        name = uuid.uuid4().hex[:8]
        uploads = f"faults-{name}-uploaded"
        retries = tuple(f"{uploads}.retry.{delay}" for delay in RETRY_DELAYS)
        return cls(uploads, f"faults-{name}-ready", f"{uploads}.dead-letter", retries, f"faults-{name}")

    @property
    def incoming(self) -> tuple[str, ...]:
        """Topics the group reads."""
        return self.uploads, *self.retries


@dataclass(slots=True)
class Stage:
    """Servers that outlive single runs.

    Attributes:
        cluster: whose nodes may be killed; None when it is somebody else's.
        bootstrap_servers: past whatever stands before the brokers.
        client_servers: what the service connects to.
        properties: of every client beside the addresses: security of somebody else's cluster.
        tcp: proxies before the bucket and, when they are ours, the brokers.
        gateway: the bucket.
        http: proxy before the bucket, behind that of ``tcp``.
        endpoint_url: of the bucket, as the service is told.
        folder: for logs and the spool.
        spool: folder for the spools of all members.
        protocol: ``group.protocol``.
    """

    cluster: KafkaCluster | None
    bootstrap_servers: str
    client_servers: str
    properties: Mapping[str, Any]
    tcp: Toxiproxy
    gateway: VersityGateway
    http: FaultProxy
    endpoint_url: str
    folder: Path
    spool: Path
    protocol: str = "classic"
    broker_proxies: Sequence[str] = field(default_factory=tuple)

    @property
    def direct(self) -> dict[str, Any]:
        """Properties of clients that must not suffer."""
        return {**self.properties, "bootstrap.servers": self.bootstrap_servers, "log_level": 0}

    @property
    def group_properties(self) -> dict[str, Any]:
        """Properties of a member of the group that is none of the service's."""
        if self.protocol == "consumer":
            return {"group.protocol": "consumer"}
        return {"partition.assignment.strategy": "cooperative-sticky", **SESSION}

    def s3(self, endpoint_url: str) -> S3Client:
        """A client of the bucket at that address."""
        return self.gateway.client(endpoint_url, connect_timeout=5, read_timeout=20)

    def create(self, topics: Topics) -> None:
        """Create the topics of a run; the brokers stamp what they append."""
        stamped = {"message.timestamp.type": "LogAppendTime"}
        sizes = dict.fromkeys(topics.incoming, PARTITIONS) | {topics.transcripts: 3, topics.dead_letters: 1}
        new = [NewTopic(name, num_partitions=count, config=stamped) for name, count in sizes.items()]
        admin = AdminClient(self.direct)
        for created in admin.create_topics(new, operation_timeout=REQUEST_S).values():
            created.result(REQUEST_S)
        if self.cluster is not None:
            self.cluster.wait_until_whole()

    def delete(self, topics: Topics) -> None:
        """Delete what `create` made."""
        names = [*topics.incoming, topics.transcripts, topics.dead_letters]
        admin = AdminClient(self.direct)
        for deleted in admin.delete_topics(names, operation_timeout=REQUEST_S).values():
            deleted.result(REQUEST_S)

    def environment(self, topics: Topics) -> dict[str, str]:
        """Settings of a member, as environment."""
        properties = {**self.properties, **(SESSION if self.protocol == "classic" else {})}
        engine = {f"TINGXIE_ENGINE__{name.upper()}": str(value) for name, value in demo_engine_settings().items()}
        return {
            **kafka_settings(self.client_servers, topics),
            **storage_settings(self.endpoint_url),
            "TINGXIE_KAFKA__GROUP_ID": topics.group,
            "TINGXIE_KAFKA__GROUP_PROTOCOL": self.protocol,
            "TINGXIE_KAFKA__PROPERTIES": json.dumps(properties),
            "TINGXIE_KAFKA__STARTUP_TIMEOUT_S": "120",
            "TINGXIE_STORAGE__ALLOWED_BUCKETS": BUCKET,
            "TINGXIE_STORAGE__CONNECT_TIMEOUT_S": "2",
            "TINGXIE_STORAGE__READ_TIMEOUT_S": "5",
            "TINGXIE_LIMITS__SPOOL_DIR": str(self.spool),
            "TINGXIE_LIMITS__SPOOL_FREE_BYTES": str(SPOOL_FREE),
            "TINGXIE_LIMITS__IN_FLIGHT_RECORDS": str(IN_FLIGHT),
            "TINGXIE_LIMITS__DRAIN_SECONDS": "10",
            "TINGXIE_ENGINE__DEVICE": "cpu",
            "TINGXIE_RETRY__DELAYS": ",".join(RETRY_DELAYS),
            # The processes die of us, not of the records they work on; and a fifth of the uploads is meant to fail.
            "TINGXIE_RETRY__POISON_DEATHS": "1000",
            "TINGXIE_LIMITS__DEAD_LETTER_SHARE": "1",
            **engine,
        }


@contextmanager
def open_stage(
    *, bootstrap_servers: str | None = None, properties: Mapping[str, Any] | None = None, protocol: str = "classic"
) -> Iterator[Stage]:
    """Start the servers; all are gone afterwards.

    Args:
        bootstrap_servers: of somebody else's cluster; None starts one whose brokers can be broken.
        properties: of every client of that cluster.
        protocol: ``group.protocol`` of the members.

    Raises:
        ServerError: one did not come up.
    """
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tingxie-faults-", ignore_cleanup_errors=True))
        )
        tcp = stack.enter_context(Toxiproxy())
        gateway = stack.enter_context(VersityGateway())
        http = stack.enter_context(FaultProxy(gateway.endpoint_url))
        (port,) = steady_ports(1)
        tcp.add(BUCKET_PROXY, int(http.endpoint_url.rpartition(":")[2]), port)
        cluster, proxies = None, []
        if bootstrap_servers is None:

            def behind(upstreams: Sequence[int]) -> Sequence[int]:
                listening = steady_ports(len(upstreams))
                for number, (upstream, listen) in enumerate(zip(upstreams, listening, strict=True), start=1):
                    proxies.append(f"broker-{number}")
                    tcp.add(proxies[-1], upstream, listen)
                return listening

            cluster = stack.enter_context(KafkaCluster(behind))
        made = Stage(
            cluster=cluster,
            bootstrap_servers=cluster.bootstrap_servers if cluster else str(bootstrap_servers),
            client_servers=cluster.client_servers if cluster else str(bootstrap_servers),
            properties=properties or {},
            tcp=tcp,
            gateway=gateway,
            http=http,
            endpoint_url=f"http://127.0.0.1:{port}",
            folder=folder,
            spool=stack.enter_context(small_spool(folder / "spool")),
            protocol=protocol,
            broker_proxies=proxies,
        )
        with closing(made.s3(gateway.endpoint_url)) as client:
            client.create_bucket(Bucket=BUCKET)
        yield made
