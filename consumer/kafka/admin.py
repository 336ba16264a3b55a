"""Topics: are they there, and making them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumer.errors import BrokerUnavailable, StopError
from consumer.kafka.clients import LOGGER, client_properties, stop_error
from consumer.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a broker tells about itself.

    Attributes:
        brokers: how many.
        partitions: number of partitions by topic, of all topics we may see.
    """

    brokers: int
    partitions: dict[str, int]


def describe_cluster(settings: KafkaSettings) -> Cluster:
    """Ask the broker for its topics.

    Raises:
        BrokerUnavailable: none answered within ``kafka.startup_timeout_s``.
        CredentialsRefused: one did, and refused us.
    """
    seen: list[StopError] = []

    def remember(error: KafkaError) -> None:
        if (stop := stop_error(error, settings)) is not None:
            seen.append(stop)

    properties = client_properties(settings) | {"error_cb": remember}
    client = AdminClient(properties, logger=LOGGER)
    try:
        metadata = client.list_topics(timeout=settings.startup_timeout_s)
    except KafkaException as exception:
        error = exception.args[0]
        client.poll(0)
        raise (
            next(iter(seen), None)
            or stop_error(error, settings)
            or BrokerUnavailable(
                f"no broker answered at {settings.bootstrap_servers} within {settings.startup_timeout_s:g} s "
                f"({error.str()}); check kafka.bootstrap_servers, and that the broker advertises an address "
                "this machine can reach"
            )
        ) from exception
    return Cluster(
        brokers=len(metadata.brokers),
        partitions={name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None},
    )


def missing_topics(settings: KafkaSettings, names: Sequence[str]) -> list[str]:
    """Those of the topics that do not exist, in the order given; raises like `describe_cluster`."""
    existing = describe_cluster(settings).partitions
    return [name for name in names if name not in existing]


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
    client = AdminClient(client_properties(settings), logger=LOGGER)
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
