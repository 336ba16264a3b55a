"""A Kafka broker inside this process: librdkafka's mock cluster, which other processes can reach as well.

Good for a demonstration, not for keeping anything: it forgets all topics when the process ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaError, Message, Producer

from consumer.errors import BrokerUnavailable, DeliveryFailed

_TIMEOUT_S = 10.0
_ERRORS_ONLY = 3
"""syslog level; the mock cluster announces itself one level below."""


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


@contextmanager
def embedded_broker(topics: Sequence[str]) -> Iterator[EmbeddedBroker]:
    """A broker with the given topics, for as long as the context lasts."""
    broker = EmbeddedBroker()
    broker.create_topics(topics)
    # The variable keeps the producer, and with it the cluster, alive until here.
    yield broker
