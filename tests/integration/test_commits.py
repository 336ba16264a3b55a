"""Commits whose answers are lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consumer.demo.assets import SAMPLES
from tests.faults.commits import TOPIC, commits_of
from tests.faults.evidence import Commit
from tests.faults.reading import read_topic
from tests.integration.harness import ServiceProcess
from tests.integration.world import World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UNANSWERED_S = 2.0
"""Long enough for many commits."""


@pytest.fixture
def world(kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    with open_world(kafka, demo_models, tmp_path, s3, announces=False) as world:
        yield world


def commits(world: World) -> list[Commit]:
    records = read_topic({"bootstrap.servers": world.kafka.bootstrap_servers}, TOPIC)
    return [each for each in commits_of(records, world.group.group_id) if each.topic == world.uploads]


PLANTED = """
from consumer.kafka.source import Source

Source._on_commit = lambda self, error, partitions: None
from consumer.cli import main
import sys
sys.argv = ["tingxie", "run"]
main()
"""


def test_a_commit_waits_for_the_answer_to_the_one_before_it(world: World) -> None:
    """The client repeats commits whose answers were lost in any order: of two at once, the older may come last."""
    world.upload("silence.wav", (SAMPLES / "silence.wav").read_bytes())
    settings = {**world.environment, "TINGXIE_KAFKA__COMMIT_INTERVAL_MS": "20"}
    with ServiceProcess(settings, world.folder, ("-c", PLANTED)) as service:
        for _ in range(10):
            world.announce("silence.wav")
        world.transcripts_read.until(lambda seen: len(seen) >= 10)
        threading.Event().wait(UNANSWERED_S)
        service.send(signal.SIGKILL)  # or it would commit once more
        service.wait()
    sent = commits(world)
    assert len(sent) == len({each.partition for each in sent}), "one request, which may be of several partitions"
