"""TLS, passwords, certificates and access control lists of a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]

from consumer.demo.assets import SAMPLES
from consumer.errors import CredentialsRefused
from consumer.kafka.sink import RECORD_BYTES, OutgoingRecord, Sink
from consumer.settings import KafkaSettings
from tests.integration.harness import produce
from tests.integration.permissions import PERMISSIONS, Names, Permission, allow, environment, kafka_lines
from tests.integration.shell import tingxie
from tests.integration.world import World, open_world
from tests.servers.certificates import Authority
from tests.servers.secure_kafka import CLIENT, SecureKafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SAMPLE = SAMPLES / "dictation 22k.wav"
USER, PASSWORD = "tingxie", "correct-horse-battery"
STRANGER = "stranger"


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureKafkaServer]:
    with SecureKafkaServer({USER: PASSWORD, STRANGER: "another-password"}) as server:
        yield server


@pytest.fixture
def world(secure: SecureKafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    """A world on the secure broker; its own clients use the plain listener."""
    with open_world(secure, demo_models, tmp_path, s3) as world:
        yield world


@pytest.fixture
def names(secure: SecureKafkaServer, unique_name: Callable[[str], str]) -> Names:
    made = Names(*(unique_name(purpose) for purpose in ("uploads", "transcripts", "dead-letters", "group")))
    secure.create_topics(made.uploads, made.transcripts, made.dead_letters)
    return made


def refusal(settings: Mapping[str, str]) -> str:
    """What `run` ends with, after it was seen that `check` finds the same fault, and nobody told the password."""
    code, out, err = tingxie(settings, "check", "--no-model")
    assert code == 1
    assert err == ""
    assert PASSWORD not in out
    faults = [line for lines in kafka_lines(out).values() for line in lines if line.startswith("FAIL")]
    assert len(faults) == 1, out
    # At the most talkative level, and the client's own with it.
    talkative = json.loads(settings.get("TINGXIE_KAFKA__PROPERTIES", "{}")) | {"debug": "all"}
    loud = {"TINGXIE_TELEMETRY__LOG_LEVEL": "debug", "TINGXIE_KAFKA__PROPERTIES": json.dumps(talkative)}
    code, out, err = tingxie({**settings, **loud}, "run")
    assert code == 1, err
    assert out == ""
    assert "Traceback" not in err
    assert PASSWORD not in err
    *_, last = err.splitlines()
    assert last.startswith(("tingxie: broker ", "tingxie: no broker ")), last
    return last


# --- it works -------------------------------------------------------------------------------------------------------


def test_from_upload_to_transcript_with_what_the_page_allows_and_no_secret_is_told(
    secure: SecureKafkaServer, world: World
) -> None:
    names = Names(world.uploads, world.transcripts, world.dead_letters, world.group.group_id)
    for permission in PERMISSIONS:
        allow(secure, USER, permission, names.of(permission))
    properties = {**secure.sasl_properties(USER), "debug": "all"}
    settings = {
        "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": secure.sasl_servers,
        "TINGXIE_KAFKA__PROPERTIES": json.dumps(properties),
        "TINGXIE_TELEMETRY__LOG_LEVEL": "debug",
    }
    code, out, err = tingxie({**world.environment, **settings}, "check", "--no-model")
    assert (code, err) == (0, ""), out
    assert [line.split()[0] for lines in kafka_lines(out).values() for line in lines] == ["ok"] * 5
    with world.service(**settings) as service:
        world.upload("a.wav", SAMPLE.read_bytes())
        assert world.transcript("a.wav").json["status"] == "completed"
        broken = world.produce(b"no event")
        signed = world.announce("https://x/a.wav?X-Amz-Signature=0123abcd&X-Amz-Date=1")
        letters = [world.dead_letter(*place) for place in (broken, signed)]
        world.group.wait_for_no_lag()
        log = service.log.read_text()
    assert "SASL" in log, "the client's own debug log is in it"
    for secret in (PASSWORD, world.gateway.secret_key, "0123abcd"):
        assert secret not in log
        assert secret not in out
        assert all(secret not in text for letter in letters for text in letter.headers.values())


def test_a_certificate_does_instead_of_a_password(secure: SecureKafkaServer, names: Names, tmp_path: Path) -> None:
    for permission in PERMISSIONS:
        allow(secure, CLIENT, permission, names.of(permission))
    settings = environment(secure, names, tmp_path) | {
        "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": secure.tls_servers,
        "TINGXIE_KAFKA__PROPERTIES": json.dumps(secure.tls_properties()),
    }
    _, out, err = tingxie(settings, "check", "--no-model")
    assert err == ""
    assert [line.split()[0] for lines in kafka_lines(out).values() for line in lines] == ["ok"] * 5, out


def test_a_broker_that_restarts_does_not_end_the_service(
    demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]
) -> None:
    with (
        SecureKafkaServer({USER: PASSWORD}) as server,
        open_world(server, demo_models, tmp_path, s3) as world,
    ):
        names = Names(world.uploads, world.transcripts, world.dead_letters, world.group.group_id)
        for permission in PERMISSIONS:
            allow(server, USER, permission, names.of(permission))
        with world.service(
            TINGXIE_KAFKA__BOOTSTRAP_SERVERS=server.sasl_servers,
            TINGXIE_KAFKA__PROPERTIES=json.dumps(server.sasl_properties(USER)),
        ) as service:
            world.upload("a.wav", SAMPLE.read_bytes())
            world.transcript("a.wav")
            server.stop()
            server.start()
            world.announce("a.wav")
            world.transcript("a.wav", count=2)
            server.process.kill()
            server.start()
            world.announce("a.wav")
            world.transcript("a.wav", count=3)
            assert service.process.alive()


# --- it is refused --------------------------------------------------------------------------------------------------

Change = Callable[[SecureKafkaServer, Path], dict[str, str]]
"""Makes settings wrong: what to replace among those of a client that would be taken."""


def properties(server: SecureKafkaServer, /, *without: str, **changed: str) -> dict[str, str]:
    whole = {**server.sasl_properties(USER), **{name.replace("_", "."): value for name, value in changed.items()}}
    return {"TINGXIE_KAFKA__PROPERTIES": json.dumps({name: whole[name] for name in whole if name not in without})}


def no_certificate(server: SecureKafkaServer, _: Path) -> dict[str, str]:
    kept = {name: value for name, value in server.tls_properties().items() if name.split(".")[1] in {"protocol", "ca"}}
    return {
        "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": server.tls_servers,
        "TINGXIE_KAFKA__PROPERTIES": json.dumps(kept),
    }


REFUSED: dict[str, tuple[Change, list[str]]] = {
    "wrong password": (
        lambda server, _: properties(server, sasl_password="guess"),
        [f"'{USER}'", "sasl.password", "invalid credentials"],
    ),
    "unknown user": (lambda server, _: properties(server, sasl_username="nobody"), ["'nobody'", "sasl.username"]),
    "wrong mechanism": (
        lambda server, _: properties(server, sasl_mechanism="SCRAM-SHA-256"),
        ["sasl.mechanism", "SCRAM-SHA-512"],
    ),
    "wrong authority": (
        lambda server, folder: properties(server, ssl_ca_location=str(Authority(folder, "other").certificate)),
        ["no TLS connection", "ssl.ca.location", "certificate verify failed"],
    ),
    "another host": (
        lambda server, _: {
            **properties(server),
            "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": server.sasl_servers.replace("127.0.0.1", "localhost"),
        },
        ["no TLS connection", "host of kafka.bootstrap_servers"],
    ),
    "no certificate of ours": (no_certificate, ["no TLS connection", "ssl.certificate.location"]),
    "plain client": (lambda *_: {"TINGXIE_KAFKA__PROPERTIES": "{}"}, ["'plaintext'", "security.protocol"]),
    "password without TLS": (
        lambda server, _: properties(server, "ssl.ca.location", security_protocol="SASL_PLAINTEXT"),
        ["'SASL_PLAINTEXT'", "security.protocol"],
    ),
    "TLS client at a plain listener": (
        lambda server, _: {**properties(server), "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": server.bootstrap_servers},
        ["'SASL_SSL'", "security.protocol"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_not_let_in_is_told_why(case: str, secure: SecureKafkaServer, names: Names, tmp_path: Path) -> None:
    change, wanted = REFUSED[case]
    settings = environment(secure, names, tmp_path) | change(secure, tmp_path)
    message = refusal(settings)
    for part in (settings["TINGXIE_KAFKA__BOOTSTRAP_SERVERS"], "kafka.properties", *wanted):
        assert part in message


@pytest.mark.parametrize("missing", PERMISSIONS, ids=lambda each: f"{each.operation} {each.name}")
def test_each_permission_of_the_page_is_needed_and_named_when_it_is_missing(
    missing: Permission, secure: SecureKafkaServer, names: Names, tmp_path: Path
) -> None:
    for permission in PERMISSIONS:
        if permission != missing:
            allow(secure, USER, permission, names.of(permission))
    message = refusal(environment(secure, names, tmp_path) | properties(secure))
    assert message.startswith(f"tingxie: broker {secure.sasl_servers}: not permitted to the user '{USER}': ")
    assert f": {missing.operation.upper()} {missing.kind} {names.of(missing)}; " in message
    assert "ACL" in message


@pytest.mark.parametrize("missing", ["Read", "Write"])
def test_a_retry_topic_must_be_read_and_written(
    missing: str, secure: SecureKafkaServer, names: Names, tmp_path: Path
) -> None:
    retries = f"{names.uploads}.retry.1s"
    secure.create_topics(retries)
    for permission in PERMISSIONS:
        allow(secure, USER, permission, names.of(permission))
    for operation in {"Read", "Write"} - {missing}:
        allow(secure, USER, Permission(operation, "topic", retries), retries)
    settings = environment(secure, names, tmp_path, TINGXIE_RETRY__DELAYS="1s") | properties(secure)
    assert f": {missing.upper()} topic {retries}; " in refusal(settings)


def test_to_see_a_topic_is_not_to_use_it(secure: SecureKafkaServer, names: Names, tmp_path: Path) -> None:
    for permission in PERMISSIONS:
        seen = Permission("Describe", permission.kind, permission.name)
        allow(secure, STRANGER, seen, names.of(permission))
    settings = environment(secure, names, tmp_path)
    settings["TINGXIE_KAFKA__PROPERTIES"] = json.dumps(secure.sasl_properties(STRANGER))
    code, _, err = tingxie(settings, "run")
    assert code == 1
    for permission in PERMISSIONS:
        assert f"{permission.operation.upper()} {permission.kind} {names.of(permission)}" in err.splitlines()[-1]


def test_watch_is_told_of_a_topic_it_may_not_see(secure: SecureKafkaServer, names: Names, tmp_path: Path) -> None:
    code, _, err = tingxie(environment(secure, names, tmp_path) | properties(secure), "watch")
    assert code == 1
    assert f"READ topic {names.transcripts}, READ topic {names.dead_letters};" in err
    assert "group" not in err


def test_watch_needs_to_read_its_topics_and_no_group(secure: SecureKafkaServer, names: Names, tmp_path: Path) -> None:
    for name in (names.transcripts, names.dead_letters):
        secure.allow(STRANGER, AclOperation.READ, ResourceType.TOPIC, name)
    produce(secure.bootstrap_servers, names.transcripts, b"no transcript")
    settings = environment(secure, names, tmp_path)
    settings["TINGXIE_KAFKA__PROPERTIES"] = json.dumps(secure.sasl_properties(STRANGER))
    code, out, err = tingxie(settings, "watch", "--from-beginning", "--limit", "1")
    assert code == 0, err
    assert json.loads(out)["value"] == "no transcript"


def test_topics_are_created_by_whoever_may(
    secure: SecureKafkaServer, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    names = Names(*(unique_name(purpose) for purpose in ("uploads", "transcripts", "dead-letters", "group")))
    for permission in PERMISSIONS:
        allow(secure, USER, permission, names.of(permission))
    settings = environment(secure, names, tmp_path) | properties(secure)
    out = tingxie(settings, "check", "--no-model", "--create-topics")[1]
    assert [line.split()[0] for line in kafka_lines(out)["topic"]] == ["FAIL"] * 3
    assert f"topic {names.uploads}: not permitted to the user '{USER}'" in out
    for name in (names.uploads, names.transcripts, names.dead_letters):
        secure.allow(USER, AclOperation.CREATE, ResourceType.TOPIC, name)
    out = tingxie(settings, "check", "--no-model", "--create-topics")[1]
    assert [line.split()[0] for line in kafka_lines(out)["topic"]] == ["ok"] * 3
    assert f"{names.uploads} created" in out
    assert f"skip records   max.message.bytes of {names.uploads}, {names.dead_letters} is not known" in out
    for name in (names.uploads, names.dead_letters):
        secure.allow(USER, AclOperation.DESCRIBE_CONFIGS, ResourceType.TOPIC, name)
    assert "ok   records" in tingxie(settings, "check", "--no-model")[1], "it has room for what is the default"


@pytest.mark.parametrize("revoked", PERMISSIONS, ids=lambda each: f"{each.operation} {each.name}")
def test_a_permission_taken_back_ends_the_service_with_the_same_line(
    revoked: Permission, secure: SecureKafkaServer, world: World
) -> None:
    names = Names(world.uploads, world.transcripts, world.dead_letters, world.group.group_id)
    for permission in PERMISSIONS:
        allow(secure, USER, permission, names.of(permission))
    with world.service(TINGXIE_KAFKA__BOOTSTRAP_SERVERS=secure.sasl_servers, **properties(secure)) as service:
        secure.forbid(USER, ResourceType[revoked.kind.upper()], names.of(revoked))
        world.produce(b"no event")
        world.upload("a.wav", SAMPLE.read_bytes())
        assert service.wait() == 1
        last = service.log.read_text().splitlines()[-1]
    assert last.startswith(f"tingxie: broker {secure.sasl_servers}, {revoked.kind} {names.of(revoked)}: not permitted")
    assert f"'{USER}'" in last


def test_a_producer_that_may_write_nowhere_stops_with_an_error_of_ours(secure: SecureKafkaServer, names: Names) -> None:
    kafka = KafkaSettings(bootstrap_servers=secure.sasl_servers, properties=secure.sasl_properties(STRANGER))
    with closing(Sink(kafka, RECORD_BYTES)) as sink:
        sink.produce("tag", OutgoingRecord(names.transcripts, b"key", b"value", ()))
        with pytest.raises(CredentialsRefused, match=rf"{secure.sasl_servers}: not permitted to the user '{STRANGER}'"):
            poll_until_it_stops(sink)


def poll_until_it_stops(sink: Sink) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        sink.deliveries()
