"""A Kafka broker inside this process: librdkafka's mock cluster, which other processes can reach as well.

Good for a demonstration, not for keeping anything: it forgets all topics when the process ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from consumer.errors import BrokerUnavailable, DeliveryFailed
from consumer.events.headers import Headers

_TIMEOUT_S = 10.0
_ERRORS_ONLY = 3
"""syslog level; the mock cluster announces itself one level below."""


@dataclass(frozen=True, slots=True)
class Published:
    """A record as a topic holds it."""

    topic: str
    value: bytes
    headers: Headers


class EmbeddedBroker:
    """A mock cluster of one broker; it lives as long as this object's producer.

    Attributes:
        address: host:port.
    """

    def __init__(self) -> None:
        self._producer = Producer(
            {
                "test.mock.num.brokers": 1,
                "bootstrap.servers": "replaced-by-the-mock-cluster",
                "log_level": _ERRORS_ONLY,
                "linger.ms": 0,
            }
        )
        brokers = self._producer.list_topics(timeout=_TIMEOUT_S).brokers.values()
        self.address = ",".join(f"{each.host}:{each.port}" for each in brokers)

    def create_topics(self, names: Sequence[str]) -> None:
        """Make topics exist: asking for a topic's metadata creates it, with 4 partitions. Blocks for milliseconds."""
        for name in names:
            error = self._producer.list_topics(name, timeout=_TIMEOUT_S).topics[name].error
            if error is not None:
                raise BrokerUnavailable(f"the embedded broker does not create topic {name}: {error}")

    def publish(self, topic: str, key: str, value: bytes) -> None:
        """Write a record and wait until the broker has it.

        Raises:
            DeliveryFailed: it does not take it.
        """
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error)

        self._producer.produce(topic, key=key, value=value, on_delivery=delivered)
        left = self._producer.flush(_TIMEOUT_S)
        if failures or left:
            reason = failures[0] if failures else "no answer"
            raise DeliveryFailed(f"the embedded broker did not take a record for topic {topic}: {reason}")


class Reader:
    """Reads whole topics from their beginning, as any program outside could; belongs to no consumer group."""

    def __init__(self, address: str, topics: Sequence[str]) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "tingxie-demo-reader",
                "enable.auto.commit": False,
                "log_level": _ERRORS_ONLY,
            }
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in topics
                for partition in self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
            ]
        )

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def read(self) -> list[Published]:
        """Records that arrived since the last call; never blocks.

        Raises:
            BrokerUnavailable: the broker is gone.
        """
        records: list[Published] = []
        try:
            while (message := self._consumer.poll(0)) is not None:
                if (error := message.error()) is not None:
                    raise BrokerUnavailable(f"reading back from {message.topic()}: {error}")
                records.append(_published(message))
        except KafkaException as error:
            raise BrokerUnavailable(f"reading back: {error}") from error
        return records


def _published(message: Message) -> Published:
    headers = message.headers()
    # The client's types also allow for mappings and text, which only producers may pass.
    pairs = headers if isinstance(headers, list) else []
    return Published(
        topic=message.topic() or "",
        value=message.value() or b"",
        headers=[(name, value) for name, value in pairs if not isinstance(value, str)],
    )


@contextmanager
def embedded_broker(topics: Sequence[str]) -> Iterator[EmbeddedBroker]:
    """A broker with the given topics, for as long as the context lasts."""
    broker = EmbeddedBroker()
    broker.create_topics(topics)
    # The variable keeps the producer, and with it the cluster, alive until here.
    yield broker
