"""Records and readers of the embedded broker."""

from __future__ import annotations

from consumer.events.headers import Headers
from consumer.kafka.follow import Follower
from consumer.kafka.records import Record
from consumer.settings import KafkaSettings


def record(topic: str, value: bytes, headers: Headers = ()) -> Record:
    return Record(topic, partition=0, offset=0, key=None, value=value, headers=list(headers), timestamp_ms=0)


def follow(address: str, *topics: str) -> Follower:
    return Follower(KafkaSettings(bootstrap_servers=address), topics, "beginning")
