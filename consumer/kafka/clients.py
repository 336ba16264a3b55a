"""What consumer, producer and admin client have in common: properties, and what an error of the client means."""

from __future__ import annotations

import logging
import re
from typing import Any

from confluent_kafka import KafkaError

from consumer.errors import BrokerFatal, BrokerUnavailable, CredentialsRefused, StopError
from consumer.settings import KafkaSettings

REPEAT_S = 30.0
"""A client without a broker says so twenty times a second; once in this time is enough."""


class _News(logging.Filter):
    """Lets through what a person has not been told just now."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        # One set of properties serves all clients: that each ignores what is meant for another is no news.
        if "property and will be ignored by this" in message:
            return False
        # The same but for "after 3ms" is the same.
        key, now = _MILLISECONDS.sub("", message), record.created
        self._told = {known: told for known, told in self._told.items() if now - told < REPEAT_S}
        if key in self._told:
            return False
        self._told[key] = now
        return True


_MILLISECONDS = re.compile(r"\d+ms")
LOGGER = logging.getLogger("librdkafka")
LOGGER.addFilter(_News())

_REFUSED = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's local codes are public, underscore and all
    KafkaError._SSL,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_NO_TOPIC = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
}


def client_properties(settings: KafkaSettings) -> dict[str, Any]:
    """Properties of every client; the user's own win.

    Args:
        settings: of the broker.
    """
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "tingxie",
        # A laptop that slept or a firewall that forgets idle connections is told apart from a dead broker sooner.
        "socket.keepalive.enable": True,
        **settings.properties,
    }


def stop_error(error: KafkaError, settings: KafkaSettings, topic: str | None = None) -> StopError | None:
    """What a client's error means for the process, or None when the client recovers by itself.

    Args:
        error: as callbacks and exceptions carry it.
        settings: to name the broker.
        topic: the topic concerned, if any.
    """
    where = f"broker {settings.bootstrap_servers}" + (f", topic {topic}" if topic else "")
    if error.fatal():
        return BrokerFatal(f"{where}: {error.str()}; the client cannot go on, restart the process")
    if error.code() in _REFUSED:
        advice = "check security.protocol, the sasl.* and ssl.* entries of kafka.properties, and the ACLs"
        return CredentialsRefused(f"{where}: {error.str()}; {advice}")
    if error.code() in _NO_TOPIC:
        return BrokerUnavailable(
            f"{where}: {error.str()}; create it, for instance with `tingxie check --create-topics`"
        )
    return None
