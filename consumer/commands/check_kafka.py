"""What ``tingxie check`` asks the broker."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from consumer.errors import TingxieError
from consumer.kafka.access import Denied, denied, refusal
from consumer.kafka.admin import (
    DEFAULT_LARGEST_RECORD,
    LARGEST_RECORD,
    Cluster,
    create_topics,
    describe_cluster,
    largest_records,
)
from consumer.kafka.retries import all_topics, retry_topics
from consumer.kafka.sink import MAX_MESSAGE_BYTES, MESSAGE_MAX_BYTES, record_limit
from consumer.settings import Settings

BROKER_TIMEOUT_S = 10.0
"""The service waits longer, since a broker may start beside it; a person at a terminal wants to know."""

HEADERS_BYTES = 64 * 1024
"""Room for the headers that an upload event gets on its way to a retry topic or the dead-letter topic.

They take far less: an error's message of 2 KiB at most, an object's name, a hundred bytes for each round of tries.
"""


class KafkaCheck:
    """The broker as a service with these settings would find it. Call `broker` first."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka.model_copy(
            update={"startup_timeout_s": min(BROKER_TIMEOUT_S, settings.kafka.startup_timeout_s)}
        )
        retries = retry_topics(settings).names
        self._uploads = settings.topics.uploads
        self._passed_on = [settings.topics.dead_letters, *retries]
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
        if name not in self._passed_on:
            create_topics(self._kafka, [name], partitions=partitions)
            return f"{name} created; partitions: {partitions}"
        config = {LARGEST_RECORD: str(self._room)}
        create_topics(self._kafka, [name], partitions=partitions, config=config)
        return f"{name} created; partitions: {partitions}, {LARGEST_RECORD}: {self._room}"

    @cached_property
    def _room(self) -> int:
        """What topics must take that upload events are passed on to, as far as the upload topic's limit is told."""
        told = largest_records(self._kafka, [self._uploads])
        return told.get(self._uploads, DEFAULT_LARGEST_RECORD) + HEADERS_BYTES

    def records(self) -> tuple[Literal["ok", "FAIL", "skip"], str]:
        """Does every record of the upload topic fit into those it may be passed on to, with more headers?"""
        told = largest_records(self._kafka, [self._uploads, *self._passed_on])
        untold = [name for name in (self._uploads, *self._passed_on) if name not in told]
        if self._uploads in told:
            wanted = told[self._uploads] + HEADERS_BYTES
            small = {f"{LARGEST_RECORD} of {name}": told[name] for name in self._passed_on if name in told}
            small[f"{MESSAGE_MAX_BYTES} of kafka.properties"] = record_limit(self._kafka, MAX_MESSAGE_BYTES)
            small = {name: size for name, size in small.items() if size < wanted}
            if small:
                listed = ", ".join(f"{name} is {size}" for name, size in small.items())
                return "FAIL", (
                    f"{listed}: make it {wanted} at least, since {self._uploads} takes records of "
                    f"{told[self._uploads]} bytes, and one that cannot be passed on with its headers stops the service"
                )
        if untold:
            why = "no such topic, or DescribeConfigs is not permitted"
            return "skip", f"{LARGEST_RECORD} of {', '.join(untold)} is not known: {why}"
        return "ok", f"dead-letter and retry topics take what {self._uploads} takes, and {HEADERS_BYTES} bytes more"

    def group(self) -> str:
        """May we join it? Raises `TingxieError` when not."""
        self._insist("group", self._kafka.group_id)
        return f"{self._kafka.group_id} may be joined"

    def _insist(self, kind: Literal["topic", "group"], name: str) -> None:
        if missing := [each for each in self._denied if (each.kind, each.name) == (kind, name)]:
            raise refusal(self._kafka, missing)
