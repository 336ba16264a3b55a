"""A broker's topics, a bucket that emits events, and one running service: the stage on which scenarios play."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import Topics
from tests.integration.harness import Group, Seen, ServiceProcess, TopicReader, produce
from tests.servers import FaultProxy, KafkaServer, VersityGateway
from tests.servers.settings import engine_settings, kafka_settings, storage_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

BUCKET = "audio-in"
PARTITIONS = 3
RUN = """
import sys
from consumer.cli import main

sys.argv = ["tingxie", "run"]
main()
"""


@dataclass(frozen=True, slots=True)
class World:
    """Everything a scenario touches.

    Attributes:
        kafka: the broker.
        gateway: bucket server; its events go to ``uploads``.
        proxy: before the bucket server; the service reads through it.
        s3: client of the bucket server itself.
        uploads, transcripts, dead_letters: topic names.
        group: the service's consumer group.
        environment: settings of a service in this world.
        transcripts_read, dead_letters_read: readers of the outgoing topics.
    """

    kafka: KafkaServer
    gateway: VersityGateway
    proxy: FaultProxy
    s3: S3Client
    uploads: str
    transcripts: str
    dead_letters: str
    group: Group
    environment: Mapping[str, str]
    transcripts_read: TopicReader
    dead_letters_read: TopicReader
    folder: Path

    def service(self, **settings: str) -> ServiceProcess:
        """A service of this world's group, not started."""
        return ServiceProcess({**self.environment, **settings}, self.folder)

    def planted(self, plant: str, **settings: str) -> ServiceProcess:
        """A service that runs some code before its own, not started: to plant a fault in it."""
        return ServiceProcess({**self.environment, **settings}, self.folder, command=("-c", plant + RUN))

    def upload(self, key: str, body: bytes) -> None:
        """Put an object; the bucket tells the topic."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def announce(self, key: str, **fields: Any) -> tuple[int, int]:
        """Write a native upload event; returns its partition and offset."""
        return self.produce(json.dumps({"bucket": BUCKET, "key": key, **fields}).encode())

    def produce(self, value: bytes | None, **more: Any) -> tuple[int, int]:
        """Write a record to the upload topic; returns its partition and offset."""
        return produce(self.kafka.bootstrap_servers, self.uploads, value, **more)

    def uploads_read(self) -> TopicReader:
        """A new reader of the upload topic; the caller closes it."""
        return TopicReader(self.kafka.bootstrap_servers, self.uploads)

    def transcript(self, key: str, count: int = 1) -> Seen:
        """The last of so many transcripts of an object, once they are there."""
        wanted = f"{BUCKET}/{key}".encode()
        found = self.transcripts_read.until(lambda seen: sum(each.key == wanted for each in seen) >= count)
        return [each for each in found if each.key == wanted][count - 1]

    def dead_letter(self, partition: int, offset: int) -> Seen:
        """The dead letter of an upload record, once it is there."""

        def of_it(each: Seen) -> bool:
            place = (each.headers["__dlq.errors.partition"], each.headers["__dlq.errors.offset"])
            return place == (str(partition), str(offset))

        found = self.dead_letters_read.until(lambda seen: any(map(of_it, seen)))
        return next(filter(of_it, found))

    def dead_letter_of(self, key: str) -> Seen:
        """The dead letter of an object that the bucket's own event announced."""

        def of_it(each: Seen) -> bool:
            records = each.json.get("Records", []) if (each.value or b"").startswith(b"{") else []
            return any(record["s3"]["object"]["key"] == key for record in records)

        found = self.dead_letters_read.until(lambda seen: any(map(of_it, seen)))
        return next(filter(of_it, found))


@contextmanager
def open_world(
    kafka: KafkaServer,
    models: Path,
    folder: Path,
    s3: Callable[..., S3Client],
    *,
    transcript_bytes: int | None = None,
    delays: Sequence[str] = (),
    announces: bool = True,
    uploads: str | None = None,
    upload_bytes: int | None = None,
) -> Iterator[World]:
    """Fresh topics, bucket server, proxy and group on a running broker.

    Args:
        kafka: the broker.
        models: folders paraformer, fsmn-vad, ct-transformer.
        folder: for logs and the spool.
        s3: maker of clients.
        transcript_bytes: ``max.message.bytes`` of the transcript topic.
        delays: of retry topics.
        announces: whether the bucket tells the topic of what is put.
        uploads: name of the upload topic; None: one that nobody used.
        upload_bytes: ``max.message.bytes`` of the upload topic.
    """
    name = uuid.uuid4().hex[:8]
    topics = Topics(uploads or f"uploads-{name}", f"transcripts-{name}", f"dead-letters-{name}")
    kafka.create_topics(topics.uploads, partitions=PARTITIONS, config=_taking(upload_bytes))
    kafka.create_topics(topics.dead_letters, *(f"{topics.uploads}.retry.{delay}" for delay in delays))
    kafka.create_topics(topics.transcripts, config=_taking(transcript_bytes))
    with ExitStack() as stack:
        gateway = stack.enter_context(VersityGateway(kafka.bootstrap_servers if announces else None, topics.uploads))
        proxy = stack.enter_context(FaultProxy(gateway.endpoint_url))
        client = s3(gateway.endpoint_url)
        client.create_bucket(Bucket=BUCKET)
        yield World(
            kafka=kafka,
            gateway=gateway,
            proxy=proxy,
            s3=client,
            uploads=topics.uploads,
            transcripts=topics.transcripts,
            dead_letters=topics.dead_letters,
            group=Group(kafka.bootstrap_servers, f"group-{name}", topics.uploads),
            environment={
                **kafka_settings(kafka.bootstrap_servers, topics),
                **storage_settings(proxy.endpoint_url),
                **engine_settings(models),
                "TINGXIE_KAFKA__GROUP_ID": f"group-{name}",
                # A killed member's partitions come back after seconds, not after most of a minute.
                "TINGXIE_KAFKA__PROPERTIES": json.dumps({"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}),
                "TINGXIE_RETRY__DELAYS": ",".join(delays),
                "TINGXIE_STORAGE__ALLOWED_BUCKETS": BUCKET,
                "TINGXIE_LIMITS__OBJECT_BYTES": str(4 * 1024 * 1024),
                "TINGXIE_LIMITS__SPOOL_DIR": str(folder / "spool"),
            },
            transcripts_read=stack.enter_context(closing(TopicReader(kafka.bootstrap_servers, topics.transcripts))),
            dead_letters_read=stack.enter_context(closing(TopicReader(kafka.bootstrap_servers, topics.dead_letters))),
            folder=folder,
        )


def _taking(most: int | None) -> dict[str, str]:
    return {} if most is None else {"max.message.bytes": str(most)}
