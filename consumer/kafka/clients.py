"""What consumer, producer and admin client have in common: properties, and what an error of the client means."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from consumer.errors import BrokerFatal, BrokerUnavailable, CredentialsRefused, StopError, UsageError
from consumer.settings import KafkaSettings

Client = TypeVar("Client")

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

_UNKNOWN_TO_IT = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's local codes are public, underscore and all
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_ALERT = "ssl/tls alert"
"""Part of a lost connection's message where the broker ended it because of our certificate, or for want of one."""
PERMISSION_ADVICE = "add the ACL (docs/security.md lists all) or check sasl.username of kafka.properties"
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


def open_client(kind: Callable[..., Client], properties: Mapping[str, Any]) -> Client:
    """Set up a client; it connects by itself.

    Args:
        kind: its class.
        properties: `client_properties`, and those of this client.

    Raises:
        UsageError: the client does not take them: an unknown name, a wrong value, a file that cannot be read.
    """
    try:
        return kind(dict(properties), logger=LOGGER)
    except KafkaException as exception:
        reason = exception.args[0].str()
    except (TypeError, ValueError) as error:
        reason = str(error)
    # Without its cause, whose traceback holds all properties.
    raise UsageError(f"kafka.properties: {reason}; correct the property that this names (TINGXIE_KAFKA__PROPERTIES)")


def user_of(settings: KafkaSettings) -> str:
    """Who we are to the broker, as messages name it."""
    user = settings.properties.get("sasl.username")
    if user is not None:
        return f"the user {str(user)!r}"
    if "ssl.certificate.location" in settings.properties or "ssl.keystore.location" in settings.properties:
        return "the user of this client's certificate"
    return "this client (kafka.properties name no user)"


@contextmanager
def fatal_errors(settings: KafkaSettings, topic: str | None = None) -> Iterator[None]:
    """Translate what a client raises while it is polled: a fatal error, which no callback is told of.

    Raises:
        StopError: the client cannot go on; see `stop_error`.
    """
    try:
        yield
    except KafkaException as exception:
        error = exception.args[0]
        raise stop_error(error, settings, topic) or BrokerFatal(
            f"broker {settings.bootstrap_servers}: {error.str()}; restart the process"
        ) from exception


def stop_error(error: KafkaError, settings: KafkaSettings, topic: str | None = None) -> StopError | None:
    """What a client's error means for the process, or None when the client recovers by itself.

    Args:
        error: as callbacks and exceptions carry it.
        settings: to name the broker, the group and the user.
        topic: the topic concerned, if any.
    """
    code, broker = error.code(), f"broker {settings.bootstrap_servers}"
    where = broker + (f", topic {topic}" if topic else "")
    if code in _UNKNOWN_TO_IT:
        advice = "check sasl.username, sasl.password and sasl.mechanism of kafka.properties"
        return CredentialsRefused(f"{where} refused {user_of(settings)}: {error.str()}; {advice}")
    if code == KafkaError._SSL or _ALERT in error.str():  # noqa: SLF001
        advice = (
            "check the ssl.* entries of kafka.properties: ssl.ca.location must hold the authority that signed the "
            "broker's certificate, the certificate must name the host of kafka.bootstrap_servers, and where the broker "
            "asks for a certificate, ssl.certificate.location and ssl.key.location must give one that it trusts"
        )
        return CredentialsRefused(f"{where}: no TLS connection: {error.str()}; {advice}")
    if code in _FORBIDDEN:
        what = where
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            what = f"{broker}, group {settings.group_id}"
        who = user_of(settings)
        return CredentialsRefused(f"{what}: not permitted to {who}: {error.str()}; {PERMISSION_ADVICE}")
    if error.fatal():
        return BrokerFatal(f"{where}: {error.str()}; the client cannot go on, restart the process")
    if code in _NO_TOPIC:
        return BrokerUnavailable(
            f"{where}: {error.str()}; create it, for instance with `tingxie check --create-topics`"
        )
    return None
