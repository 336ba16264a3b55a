"""A record as large as the upload topic takes ends like any other, on topics that ``check --create-topics`` made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from tests.integration.harness import TopicReader
from tests.integration.shell import tingxie
from tests.integration.world import open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DEFAULT = 1_048_588
"""``max.message.bytes`` of a topic that is told nothing."""


def records_line(out: str) -> str:
    (line,) = [line for line in out.splitlines() if line.split()[1] == "records"]
    return line


def largest_record(kafka: KafkaServer, topic: str) -> int:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (answer,) = kafka.admin.describe_configs([resource]).values()
    return int(answer.result(20)["max.message.bytes"].value)


@pytest.mark.parametrize("uploads_take", [DEFAULT, 10 * 1024 * 1024])
def test_the_largest_upload_becomes_a_dead_letter(
    uploads_take: int,
    kafka: KafkaServer,
    demo_models: Path,
    tmp_path: Path,
    s3: Callable[..., S3Client],
    unique_name: Callable[[str], str],
) -> None:
    letters = unique_name("large-letters")
    with open_world(kafka, demo_models, tmp_path, s3, upload_bytes=uploads_take) as world:
        settings = {"TINGXIE_TOPICS__DEAD_LETTERS": letters, "TINGXIE_RETRY__DELAYS": "1s"}
        code, out, _ = tingxie({**world.environment, **settings}, "check", "--no-model", "--create-topics")
        assert code == 0, out
        assert records_line(out).startswith("ok")
        assert (
            largest_record(kafka, letters)
            == largest_record(kafka, f"{world.uploads}.retry.1s")
            == uploads_take + 65_536
        )
        value = os.urandom(uploads_take - 128)  # the largest, but for what the batch says of itself
        with world.service(**settings), closing(TopicReader(kafka.bootstrap_servers, letters)) as reader:
            world.produce(value)
            (letter,) = reader.until(bool)
            assert letter.value == value
            assert letter.headers["__dlq.errors.class"] == "event_not_json"
            world.group.wait_for_no_lag()


def test_topics_that_take_less_are_a_fault(
    kafka: KafkaServer, service_environment: dict[str, str], unique_name: Callable[[str], str]
) -> None:
    letters, uploads = unique_name("letters"), service_environment["TINGXIE_TOPICS__UPLOADS"]
    kafka.create_topics(letters, f"{uploads}.retry.1s")
    environment = service_environment | {"TINGXIE_TOPICS__DEAD_LETTERS": letters, "TINGXIE_RETRY__DELAYS": "1s"}
    code, out, _ = tingxie(environment, "check", "--no-model")
    assert code == 1
    line = records_line(out)
    assert line.startswith("FAIL")
    for name in (letters, f"{uploads}.retry.1s"):
        assert f"max.message.bytes of {name} is {DEFAULT}" in line
    assert f"make it {DEFAULT + 65_536} at least" in line


def test_a_client_that_may_send_less_is_a_fault(service_environment: dict[str, str]) -> None:
    properties = json.dumps({"message.max.bytes": 1_000_000})
    code, out, _ = tingxie(service_environment | {"TINGXIE_KAFKA__PROPERTIES": properties}, "check", "--no-model")
    assert code == 1
    assert "message.max.bytes of kafka.properties is 1000000: make it" in records_line(out)
