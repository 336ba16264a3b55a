"""What a restart costs: only what was in work is transcribed again, however much was completed beyond it."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition

from consumer.kafka.metadata import Progress, decode
from tests.integration.harness import WORK_S
from tests.integration.world import BUCKET, PARTITIONS, World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLIP = Path(__file__).parents[2] / "consumer" / "demo" / "samples" / "meeting.wav"
DONE = 200
SLOW = ("slow-first.wav", "slow-within.wav", "slow-last.wav")


@pytest.fixture
def world(kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    with open_world(kafka, demo_models, tmp_path, s3) as world:
        yield world


def progress_of(world: World) -> list[Progress]:
    """What the group has committed for each partition, with what it tells beyond the offset."""
    properties = {"bootstrap.servers": world.kafka.bootstrap_servers, "group.id": world.group.group_id}
    with closing(Consumer(properties)) as asking:
        partitions = [TopicPartition(world.uploads, number) for number in range(PARTITIONS)]
        committed = asking.committed(partitions, timeout=20)
        return [decode(each.metadata, each.offset) for each in committed if each.offset >= 0]


def wait_until_all_but_the_slow_are_told(world: World) -> None:
    """The bucket's events have one key: they are in one partition, and its commit tells of all that is done."""
    deadline = time.monotonic() + WORK_S
    while True:
        told = progress_of(world)
        if any(len(each.incomplete) == len(SLOW) and each.end - each.base >= DONE for each in told):
            return
        assert time.monotonic() < deadline, f"the commits only tell {told}"


def test_a_restart_transcribes_only_what_was_in_work(world: World) -> None:
    body = CLIP.read_bytes()
    done = [f"done-{number:03}.wav" for number in range(DONE)]
    for key in (SLOW[0], *done[:100], SLOW[1], *done[100:], SLOW[2]):
        world.upload(key, body)
    world.proxy.stall(times=None, match="GET */slow-*")
    settings = {"TINGXIE_LIMITS__FETCH_WORKERS": "8", "TINGXIE_STORAGE__READ_TIMEOUT_S": "600"}
    with world.service(**settings) as first:
        world.transcripts_read.until(lambda seen: len(seen) >= DONE)
        wait_until_all_but_the_slow_are_told(world)
        first.send(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    before = Counter(each.key for each in world.transcripts_read.all())
    assert before == Counter(f"{BUCKET}/{key}".encode() for key in done)

    world.proxy.clear()
    with world.service(**settings) as second:
        world.group.wait_for_no_lag()
        ends = [line["key"] for line in second.lines() if line.get("event") == "transcribed"]

    assert sorted(ends) == sorted(SLOW), "nothing that was done is done again"
    after = Counter(each.key for each in world.transcripts_read.all())
    assert after == Counter(f"{BUCKET}/{key}".encode() for key in (*done, *SLOW))
