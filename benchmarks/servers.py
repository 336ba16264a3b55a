"""A real broker and a real bucket on this machine, as the tests use them, and topics that nobody used before."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from confluent_kafka import Producer

from benchmarks.report import progress
from tests.servers import KafkaServer, VersityGateway
from tests.servers.settings import kafka_settings, storage_settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "audio-in"
PARTITIONS = 3


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics and group of one service."""

    name: str

    @property
    def uploads(self) -> str:
        """Upload events in."""
        return f"uploads-{self.name}"

    @property
    def transcripts(self) -> str:
        """Transcripts out."""
        return f"transcripts-{self.name}"

    @property
    def dead_letters(self) -> str:
        """What could not be transcribed."""
        return f"dead-letters-{self.name}"

    def settings(self, broker: str) -> dict[str, str]:
        """Settings of a service, as environment variables."""
        return {
            **kafka_settings(broker, self),
            "TINGXIE_KAFKA__GROUP_ID": f"group-{self.name}",
            "TINGXIE_RETRY__DELAYS": "",
            "TINGXIE_TELEMETRY__PORT": "0",
        }


def create_topics(kafka: KafkaServer) -> Topics:
    """Fresh ones."""
    topics = Topics(uuid.uuid4().hex[:8])
    kafka.create_topics(topics.uploads, partitions=PARTITIONS)
    kafka.create_topics(topics.transcripts, topics.dead_letters)
    return topics


def announce(broker: str, topic: str, keys: Iterable[str]) -> None:
    """Write an upload event for each object, and return when the broker has all."""
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
    for key in keys:
        producer.produce(topic, orjson.dumps({"bucket": BUCKET, "key": key}), key)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError(f"the broker did not take all events for {topic}")


@dataclass(frozen=True, slots=True)
class Servers:
    """A broker and a bucket."""

    kafka: KafkaServer
    gateway: VersityGateway
    s3: S3Client

    def upload(self, key: str, body: bytes) -> None:
        """Put an object; nobody is told."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def settings(self, topics: Topics, spool: Path) -> dict[str, str]:
        """Settings of a service, models left out, as environment variables."""
        return {
            **topics.settings(self.kafka.bootstrap_servers),
            **storage_settings(self.gateway.endpoint_url),
            "TINGXIE_STORAGE__ALLOWED_BUCKETS": BUCKET,
            "TINGXIE_LIMITS__SPOOL_DIR": str(spool),
        }


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Both, with an empty bucket; installed first where they are missing."""
    progress("starting Kafka and the bucket")
    with ExitStack() as stack:
        kafka = stack.enter_context(KafkaServer())
        gateway = stack.enter_context(VersityGateway())
        client = gateway.client(gateway.endpoint_url)
        stack.callback(client.close)
        client.create_bucket(Bucket=BUCKET)
        yield Servers(kafka, gateway, client)
