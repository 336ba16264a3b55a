from __future__ import annotations

import logging

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from consumer.errors import BrokerFatal, BrokerUnavailable, CredentialsRefused, StopError, UsageError
from consumer.kafka.clients import LOGGER, client_properties, open_client, stop_error
from consumer.settings import KafkaSettings

SETTINGS = KafkaSettings(bootstrap_servers="broker:9092")


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (KafkaError._AUTHENTICATION, CredentialsRefused),
        (KafkaError._SSL, CredentialsRefused),
        (KafkaError.SASL_AUTHENTICATION_FAILED, CredentialsRefused),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, CredentialsRefused),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, BrokerUnavailable),
        (KafkaError._ALL_BROKERS_DOWN, None),
        (KafkaError._TRANSPORT, None),
        (KafkaError.REBALANCE_IN_PROGRESS, None),
    ],
)
def test_an_error_stops_the_process_only_when_the_client_cannot_recover(
    code: int, meaning: type[StopError] | None
) -> None:
    stop = stop_error(KafkaError(code), SETTINGS, "audio-uploaded")
    if meaning is None:
        assert stop is None
    else:
        assert type(stop) is meaning
        assert "broker:9092" in str(stop)
        assert "audio-uploaded" in str(stop)


def test_who_is_refused_is_named_and_told_which_property_to_look_at() -> None:
    settings = KafkaSettings(properties={"sasl.username": "me", "sasl.password": "hunter2"}, group_id="mine")
    unknown = stop_error(KafkaError(KafkaError._AUTHENTICATION), settings)
    assert "the user 'me'" in str(unknown)
    assert "sasl.password" in str(unknown)
    group = stop_error(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED), settings, "audio-uploaded")
    assert "group mine" in str(group)
    assert "audio-uploaded" not in str(group), "the group is at fault, not the topic"
    assert "hunter2" not in f"{unknown} {group}"


def test_a_connection_that_ends_with_a_tls_alert_is_a_refusal_and_one_that_just_ends_is_not() -> None:
    alert = "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42"
    assert isinstance(stop_error(KafkaError(KafkaError._TRANSPORT, alert), SETTINGS), CredentialsRefused)
    assert stop_error(KafkaError(KafkaError._TRANSPORT, "SSL connection closed by peer"), SETTINGS) is None


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"sasl.pasword": "hunter2"}, "sasl.pasword"),
        ({"message.max.bytes": "hunter2"}, "message.max.bytes"),
        ({"stats_cb": "hunter2"}, "stats_cb"),
        ({"ssl.ca.location": "/nowhere/hunter.pem", "security.protocol": "SSL"}, "ssl.ca.location"),
        ({"ssl.key.pem": "hunter2", "security.protocol": "SSL"}, "ssl.key.pem"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.password": "hunter2"}, "username"),
    ],
)
def test_properties_the_client_does_not_take_are_a_usage_error(properties: dict[str, str], named: str) -> None:
    settings = KafkaSettings(properties=properties)
    with pytest.raises(UsageError, match=r"kafka\.properties: ") as caught:
        open_client(Consumer, {"group.id": "me", **client_properties(settings)})
    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_fatal_error_is_fatal_whatever_its_code() -> None:
    stop = stop_error(KafkaError(KafkaError._TRANSPORT, "gone", fatal=True), SETTINGS)
    assert isinstance(stop, BrokerFatal)


def test_the_users_properties_win() -> None:
    settings = KafkaSettings(properties={"client.id": "mine", "security.protocol": "SSL"})
    assert client_properties(settings)["client.id"] == "mine"
    assert client_properties(settings)["security.protocol"] == "SSL"


def test_properties_of_other_clients_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER.name):
        producer = Producer({"bootstrap.servers": "127.0.0.1:9", "session.timeout.ms": 6000}, logger=LOGGER)
        producer.poll(0)
    assert "session.timeout.ms" not in caplog.text


def test_what_is_said_again_and_again_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER.name):
        for milliseconds in range(5):
            LOGGER.error("FAIL connect to broker:9092 failed (after %dms in state CONNECT)", milliseconds)
        LOGGER.error("FAIL connect to another:9092 failed (after 1ms in state CONNECT)")
    assert [line.getMessage().split()[3] for line in caplog.records] == ["broker:9092", "another:9092"]
