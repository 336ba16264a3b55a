"""What ``tingxie check`` asks the broker."""

from __future__ import annotations

from typing import Literal

from consumer.errors import TingxieError
from consumer.kafka.access import Denied, denied, refusal
from consumer.kafka.admin import Cluster, create_topics, describe_cluster
from consumer.kafka.retries import all_topics, retry_topics
from consumer.settings import Settings

BROKER_TIMEOUT_S = 10.0
"""The service waits longer, since a broker may start beside it; a person at a terminal wants to know."""


class KafkaCheck:
    """The broker as a service with these settings would find it. Call `broker` first."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka.model_copy(
            update={"startup_timeout_s": min(BROKER_TIMEOUT_S, settings.kafka.startup_timeout_s)}
        )
        retries = retry_topics(settings).names
        self._reads = [settings.topics.uploads, *retries]
        self._writes = [settings.topics.transcripts, settings.topics.dead_letters, *retries]
        self.topics: list[str] = list(dict.fromkeys(all_topics(settings)))
        self._cluster = Cluster(0, {})
        self._denied: list[Denied] = []

    def broker(self) -> str:
        """Is there one? Raises `TingxieError` when not."""
        self._cluster = describe_cluster(self._kafka)
        self._denied = denied(self._kafka, reads=self._reads, writes=self._writes)
        return f"{self._kafka.bootstrap_servers} answers; brokers: {self._cluster.brokers}"

    def topic(self, name: str, partitions: int | None) -> str:
        """Is it there, and open to us? Raises `TingxieError` when not.

        Args:
            name: of the topic.
            partitions: to create it with when it is missing; None leaves it missing.
        """
        existing = self._cluster.partitions.get(name)
        if existing is not None or partitions is None:
            self._insist("topic", name)  # also one that seems to be missing: it may only be hidden from us
        if existing is not None:
            return f"{name} exists; partitions: {existing}"
        if partitions is None:
            raise TingxieError(f"{name} does not exist; create it: tingxie check --create-topics --partitions N")
        create_topics(self._kafka, [name], partitions=partitions)
        return f"{name} created; partitions: {partitions}"

    def group(self) -> str:
        """May we join it? Raises `TingxieError` when not."""
        self._insist("group", self._kafka.group_id)
        return f"{self._kafka.group_id} may be joined"

    def _insist(self, kind: Literal["topic", "group"], name: str) -> None:
        if missing := [each for each in self._denied if (each.kind, each.name) == (kind, name)]:
            raise refusal(self._kafka, missing)
