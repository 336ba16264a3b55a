"""The service as a process, and topics as lists: what the tests of the whole service stand on."""

from __future__ import annotations

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from typing_extensions import Self

from tests.servers.process import ServerProcess, free_ports

START_S = 240.0
"""The models' libraries take half a minute to import on a machine that is busy."""

WORK_S = 180.0
"""For a handful of short recordings, the group's rebalancing included."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record read back from a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.value or b"null")


class ServiceProcess:
    """``tingxie run`` as a child process.

    Args:
        environment: its settings.
        folder: where its log goes.
        command: what to run instead of the plain command.
    """

    def __init__(
        self, environment: Mapping[str, str], folder: Path, command: Sequence[str] = ("-m", "consumer", "run")
    ) -> None:
        (self.port,) = free_ports(1)
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"service-{self.port}.log"
        self._environment = {
            **environment,
            "TINGXIE_TELEMETRY__HOST": "127.0.0.1",
            "TINGXIE_TELEMETRY__PORT": str(self.port),
        }
        self._command = [sys.executable, *command]
        self.process: ServerProcess

    def launch(self) -> None:
        """Start it without waiting."""
        self.process = ServerProcess("tingxie run", self._command, self.log, self._environment)

    def start(self) -> None:
        """Start it and return when it is ready: model loaded, partitions assigned."""
        self.launch()
        self.process.wait_until(lambda: self.get("/ready")[0] == 200, START_S)

    def get(self, path: str) -> tuple[int, str]:
        """Ask its telemetry port; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def send(self, number: signal.Signals) -> None:
        self.process.send(number)

    def wait(self, timeout_s: float = WORK_S) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(timeout_s)

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop(grace_s=40.0)


@dataclass
class TopicReader:
    """All records of a topic from its beginning, without a trace in any group."""

    bootstrap_servers: str
    topic: str
    records: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": self.bootstrap_servers, "group.id": "reader", "enable.auto.commit": False}
        )
        partitions = self._consumer.list_topics(self.topic, timeout=20).topics[self.topic].partitions
        self._consumer.assign([TopicPartition(self.topic, number, OFFSET_BEGINNING) for number in partitions])

    def until(self, enough: Callable[[list[Seen]], bool], timeout_s: float = WORK_S) -> list[Seen]:
        """Read on until the records satisfy a condition.

        Raises:
            AssertionError: they do not in time; tells what was there.
        """
        deadline = time.monotonic() + timeout_s
        while not enough(self.records):
            assert time.monotonic() < deadline, f"{self.topic} holds only {self.summary()} after {timeout_s} s"
            self._poll(0.2)
        return self.records

    def all(self) -> list[Seen]:
        """What is in the topic now."""
        for each in self._consumer.assignment():
            _, end = self._consumer.get_watermark_offsets(each, timeout=20)
            target = end - 1
            while target >= 0 and not any(
                seen.partition == each.partition and seen.offset >= target for seen in self.records
            ):
                self._poll(0.2)
        return self.records

    def summary(self) -> list[str]:
        return [f"{(seen.key or b'').decode()} {(seen.value or b'')[:60]!r}" for seen in self.records]

    def close(self) -> None:
        self._consumer.close()

    def _poll(self, timeout_s: float) -> None:
        message = self._consumer.poll(timeout_s)
        if message is None:
            return
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            return
        headers = {name: (value or b"").decode() for name, value in message.headers() or []}  # type: ignore[union-attr,str-unpack]
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        self.records.append(Seen(partition, offset, message.key(), message.value(), headers))


@dataclass(frozen=True, slots=True)
class Group:
    """What a consumer group has committed."""

    bootstrap_servers: str
    group_id: str
    topic: str

    def committed_and_end(self) -> list[tuple[int, int]]:
        """Committed offset (0 when there is none) and end offset of each partition."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": self.group_id})
        try:
            numbers = consumer.list_topics(self.topic, timeout=20).topics[self.topic].partitions
            partitions = consumer.committed([TopicPartition(self.topic, number) for number in numbers], timeout=20)
            ends = [consumer.get_watermark_offsets(each, timeout=20)[1] for each in partitions]
            return [(max(0, each.offset), end) for each, end in zip(partitions, ends, strict=True)]
        finally:
            consumer.close()

    def lag(self) -> int:
        return sum(end - committed for committed, end in self.committed_and_end())

    def wait_for_no_lag(self, timeout_s: float = WORK_S) -> None:
        deadline = time.monotonic() + timeout_s
        while (lag := self.lag()) > 0:
            assert time.monotonic() < deadline, f"group {self.group_id} still lags by {lag} after {timeout_s} s"


def produce(
    bootstrap_servers: str,
    topic: str,
    value: bytes | None,
    *,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    partition: int = -1,
) -> tuple[int, int]:
    """Write one record; returns its partition and offset."""
    places: list[tuple[int, int]] = []

    def delivered(error: KafkaError | None, message: Any) -> None:
        assert error is None, error
        places.append((message.partition(), message.offset()))

    producer = Producer({"bootstrap.servers": bootstrap_servers, "message.max.bytes": 2**24})
    producer.produce(topic, value, key, partition=partition, headers=list(headers), on_delivery=delivered)
    producer.flush(20)
    return places[0]
