"""Topics: are they there, and making them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from consumer.errors import BrokerUnavailable, StopError
from consumer.kafka.clients import client_properties, open_client, stop_error
from consumer.settings import KafkaSettings

FIRST_ANSWER_S = 0.5
"""How long the first request for metadata waits, each further one twice as long: between them errors are looked at."""

ANSWER_S = 10.0
"""How long a broker that has answered before may take to tell the configuration of topics."""

LARGEST_RECORD = "max.message.bytes"
"""Of a topic: bytes of the largest batch of records that it takes, as compressed as they come."""

DEFAULT_LARGEST_RECORD = 1_048_588
"""What it is unless the broker or the topic is told otherwise."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a broker tells about itself.

    Attributes:
        brokers: how many.
        partitions: number of partitions by topic, of all topics we may see.
    """

    brokers: int
    partitions: dict[str, int]


class _Trouble:
    """What an admin client was told while it tried to connect."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.refusal: StopError | None = None
        self.last = ""

    def note(self, error: KafkaError) -> None:
        """The client's ``error_cb``."""
        self.refusal = self.refusal or stop_error(error, self._settings)
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - it only counts what others explain
            self.last = error.str()


def describe_cluster(settings: KafkaSettings) -> Cluster:
    """Ask the broker for its topics.

    Raises:
        BrokerUnavailable: none answered within ``kafka.startup_timeout_s``.
        CredentialsRefused: one did, and refused us; raised as soon as it does.
        UsageError: ``kafka.properties`` are wrong.
    """
    trouble = _Trouble(settings)
    client = open_client(AdminClient, client_properties(settings) | {"error_cb": trouble.note})
    deadline, wait_s = time.monotonic() + settings.startup_timeout_s, FIRST_ANSWER_S
    while True:
        left_s = max(0.0, deadline - time.monotonic())
        last = left_s < 2 * wait_s  # what is left after it would be too short for an answer
        try:
            metadata = client.list_topics(timeout=left_s if last else wait_s)
            break
        except KafkaException as exception:
            error = exception.args[0]
            client.poll(0)
            if (refusal := trouble.refusal or stop_error(error, settings)) is not None:
                raise refusal from None
            if last:
                raise _unavailable(settings, trouble.last or error.str()) from None
        wait_s *= 2
    return Cluster(
        brokers=len(metadata.brokers),
        partitions={name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None},
    )


def missing_topics(settings: KafkaSettings, names: Sequence[str]) -> list[str]:
    """Those of the topics that do not exist, in the order given; raises like `describe_cluster`."""
    existing = describe_cluster(settings).partitions
    return [name for name in names if name not in existing]


def largest_records(settings: KafkaSettings, names: Sequence[str]) -> dict[str, int]:
    """``max.message.bytes`` of topics, without those that do not exist or do not let us know (``DescribeConfigs``).

    Raises:
        UsageError: ``kafka.properties`` are wrong.
    """
    client = open_client(AdminClient, client_properties(settings))
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    found = {}
    for resource, answer in client.describe_configs(asked, request_timeout=ANSWER_S).items():
        with suppress(KafkaException):
            found[resource.name] = int(answer.result()[LARGEST_RECORD].value)
    return found


def create_topics(
    settings: KafkaSettings,
    names: Sequence[str],
    *,
    partitions: int,
    replication: int = -1,
    config: Mapping[str, str] | None = None,
) -> None:
    """Create topics; one that exists already is left as it is.

    Args:
        settings: of the broker.
        names: of the topics.
        partitions: of each topic.
        replication: copies of each partition; -1 for the broker's default.
        config: of the topics, beside the broker's defaults.

    Raises:
        StopError: the broker refused.
    """
    client = open_client(AdminClient, client_properties(settings))
    requests = [
        NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(config or {}))
        for name in names
    ]
    for name, future in client.create_topics(requests, operation_timeout=settings.startup_timeout_s).items():
        try:
            future.result(timeout=settings.startup_timeout_s)
        except KafkaException as exception:  # noqa: PERF203 - each topic has an answer of its own
            error = exception.args[0]
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise stop_error(error, settings, name) or BrokerUnavailable(
                    f"topic {name} could not be created: {error.str()}"
                ) from exception


def _unavailable(settings: KafkaSettings, last: str) -> BrokerUnavailable:
    protocol = settings.properties.get("security.protocol", "plaintext")
    return BrokerUnavailable(
        f"no broker answered at {settings.bootstrap_servers} within {settings.startup_timeout_s:g} s ({last}); check "
        f"kafka.bootstrap_servers, that the listener there speaks {protocol!r} (security.protocol of "
        "kafka.properties), and that the broker advertises an address this machine can reach"
    )
