"""What a restart costs: only what was in work is transcribed again, however much was completed beyond it."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition

from consumer.demo.assets import SAMPLES
from consumer.kafka.metadata import Progress, decode
from tests.integration.harness import WORK_S
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLIP = SAMPLES / "meeting.wav"
DONE = 200
SLOW = ("slow-first.wav", "slow-within.wav", "slow-last.wav")


@pytest.fixture
def world(kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    with open_world(kafka, demo_models, tmp_path, s3, announces=False) as world:
        yield world


def upload(world: World, key: str, body: bytes) -> None:
    """Put an object and announce it in the first partition."""
    world.upload(key, body)
    world.produce(json.dumps({"bucket": BUCKET, "key": key}).encode(), partition=0)


def committed(world: World) -> Progress:
    """What the group has committed for the first partition, with what it tells beyond the offset."""
    properties = {"bootstrap.servers": world.kafka.bootstrap_servers, "group.id": world.group.group_id}
    with closing(Consumer(properties)) as asking:
        (told,) = asking.committed([TopicPartition(world.uploads, 0)], timeout=20)
        return decode(told.metadata, max(0, told.offset))


def wait_until_told(world: World, wanted: Callable[[Progress], bool]) -> None:
    deadline = time.monotonic() + WORK_S
    while not wanted(told := committed(world)):
        assert time.monotonic() < deadline, f"the commit only tells {told}"


def test_a_restart_transcribes_only_what_was_in_work(world: World) -> None:
    body = CLIP.read_bytes()
    done = [f"done-{number:03}.wav" for number in range(DONE)]
    for key in (SLOW[0], *done[:100], SLOW[1], *done[100:], SLOW[2]):
        upload(world, key, body)
    world.proxy.stall(times=None, match="GET */slow-*")
    settings = {"TINGXIE_LIMITS__FETCH_WORKERS": "8", "TINGXIE_STORAGE__READ_TIMEOUT_S": "600"}
    with world.service(**settings) as first:
        world.transcripts_read.until(lambda seen: len(seen) >= DONE)
        wait_until_told(world, lambda told: told.end == DONE + len(SLOW) and len(told.incomplete) == len(SLOW))
        assert committed(world).base == 0, "the first is slow: without metadata all would be done again"
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
