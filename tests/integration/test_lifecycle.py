"""Starting, stopping, dying: whatever ends the process, no record is lost and none is committed too early."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.media import SPOKEN
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def upload_many(world: World, count: int) -> list[str]:
    """Upload recordings and spread their events over all partitions, which the bucket's constant key would not."""
    samples = {f"{number:03}/{sample.name}": sample for number, sample in enumerate(islice(cycle(SPOKEN), count))}
    for key, sample in samples.items():
        world.upload(key, sample.path.read_bytes())
        world.announce(key)
    return list(samples)


def keys_of(world: World) -> Counter[str]:
    return Counter((each.key or b"").decode().removeprefix(f"{BUCKET}/") for each in world.transcripts_read.all())


def test_after_a_kill_midway_every_record_ends_and_none_is_lost(world: World) -> None:
    keys = upload_many(world, 40)  # announced twice each: by the bucket and by us
    with world.service() as first:
        world.transcripts_read.until(lambda seen: len(seen) >= 15)
        first.send(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    assert world.group.lag() > 0, "it was killed midway"
    done_before = keys_of(world)
    with world.service() as second:
        world.group.wait_for_no_lag()
        assert second.process.alive()
    counts = keys_of(world)
    assert set(counts) == set(keys), "every recording has a transcript"
    assert min(counts.values()) >= 2, "of both its events"
    assert len(world.dead_letters_read.all()) == 0
    ids: dict[bytes | None, set[str]] = {each.key: set() for each in world.transcripts_read.all()}
    for each in world.transcripts_read.all():
        ids[each.key].add(each.json["id"])
    assert all(len(each) == 1 for each in ids.values()), "a repeat has the id of the first"
    assert sum(done_before.values()) < 80


def test_sigterm_drains_commits_and_exits_zero(world: World) -> None:
    upload_many(world, 30)
    with world.service(TINGXIE_LIMITS__IN_FLIGHT_RECORDS="8") as service:
        world.transcripts_read.until(lambda seen: len(seen) >= 5)
        service.send(signal.SIGTERM)
        assert service.wait() == 0
    ended = len(world.transcripts_read.all())
    committed = sum(offset for offset, _ in world.group.committed_and_end())
    assert ended == committed - greetings(world), "all that was begun was finished, and nothing else was committed"
    assert world.group.lag() > 0
    assert any(line["event"] == "stopped" for line in service.lines())
    left = [path.name for path in (world.folder / "spool").iterdir() if path.is_dir()]
    assert left == [], "its part of the spool is gone"


def greetings(world: World) -> int:
    """The bucket server writes a test event when it starts: an offset without a recording, if it was read already."""
    committed = dict(enumerate(offset for offset, _ in world.group.committed_and_end()))
    reader = world.uploads_read()
    try:
        return sum(
            b"s3:TestEvent" in (each.value or b"") and each.offset < committed[each.partition] for each in reader.all()
        )
    finally:
        reader.close()


PLANTED = """
import consumer.engine.recogniser as recogniser

real, calls = recogniser.Recogniser.encode, []

def planted(self, *arguments, **options):
    calls.append(1)
    if len(calls) > 3:
        raise RuntimeError("a planted bug")
    return real(self, *arguments, **options)

recogniser.Recogniser.encode = planted
"""


def test_a_stage_that_dies_stops_the_process_and_leaves_its_work_uncommitted(world: World) -> None:
    keys = upload_many(world, 12)
    doomed = world.planted(PLANTED)
    doomed.launch()
    assert doomed.wait(180) == 1
    last = doomed.log.read_text().splitlines()[-1]
    assert last.startswith("tingxie: ")
    assert "engine" in last
    assert "a planted bug" in last
    assert world.group.lag() > 0
    with world.service():
        world.group.wait_for_no_lag()
    assert set(keys_of(world)) == set(keys)
    assert world.dead_letters_read.all() == []


def test_a_second_member_shares_the_work(world: World) -> None:
    keys = upload_many(world, 30)
    with world.service() as first:
        world.transcripts_read.until(lambda seen: len(seen) >= 3)
        with world.service() as second:
            world.group.wait_for_no_lag()
            assert first.process.alive()
            assert second.process.alive()
    assert set(keys_of(world)) == set(keys)
    assert world.dead_letters_read.all() == []


def test_events_of_one_object_are_worked_on_in_order_and_others_do_not_wait(world: World) -> None:
    world.upload("same.wav", SPOKEN[0].path.read_bytes())
    world.upload("other.wav", SPOKEN[1].path.read_bytes())
    world.proxy.stall(times=1, match="GET */same.wav")
    for number in range(5):
        value = json.dumps({"bucket": BUCKET, "key": "same.wav", "metadata": {"event": str(number)}}).encode()
        world.produce(value, partition=0)
    world.announce("other.wav")
    same = f"{BUCKET}/same.wav".encode()
    with world.service():
        world.transcript("other.wav", count=2)  # announced by the bucket, too
        assert not [each for each in world.transcripts_read.all() if each.key == same]
        world.proxy.release()
        world.group.wait_for_no_lag()
    numbers = [each.json["metadata"].get("event") for each in world.transcripts_read.all() if each.key == same]
    assert [each for each in numbers if each is not None] == ["0", "1", "2", "3", "4"]


def test_a_long_wait_for_the_storage_does_not_cost_the_membership(world: World) -> None:
    properties = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "max.poll.interval.ms": 6000}
    world.proxy.stall(times=1, match="GET */slow.wav")
    with world.service(TINGXIE_KAFKA__PROPERTIES=json.dumps(properties)) as service:
        world.upload("slow.wav", SPOKEN[0].path.read_bytes())
        world.upload("quick.wav", SPOKEN[1].path.read_bytes())
        assert world.transcript("quick.wav").json["status"] == "completed"
        until = time.monotonic() + 9.0  # half as long again as the group waits for a member that does not poll
        while time.monotonic() < until:
            assert service.get("/ready") == (200, "ok\n")
        world.proxy.release()
        assert world.transcript("slow.wav").json["status"] == "completed"
        changes = [line["change"] for line in service.lines() if line.get("event") == "rebalanced"]
        assert changes == ["assigned"]


def test_the_service_outlives_its_broker_and_can_be_stopped_without_it(
    demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]
) -> None:
    with KafkaServer() as broker, open_world(broker, demo_models, tmp_path, s3) as world:
        world.upload("a.wav", SPOKEN[0].path.read_bytes())
        with world.service(TINGXIE_LIMITS__DRAIN_SECONDS="2") as service:
            world.transcript("a.wav")
            broker.stop()
            broker.start()
            world.announce("a.wav")
            world.transcript("a.wav", count=2)
            broker.process.kill()
            service.send(signal.SIGTERM)
            assert service.wait(60) == 0


def test_a_transcript_the_topic_refuses_is_a_dead_letter(
    kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]
) -> None:
    with open_world(kafka, demo_models, tmp_path, s3, transcript_bytes=700) as world, world.service() as service:
        world.upload("long.wav", SPOKEN[0].path.read_bytes())
        seen = world.dead_letter_of("long.wav")
        assert seen.headers["__dlq.errors.class"] == "transcript_too_large"
        for setting in ("max.message.bytes", "storage.transcript_bucket"):
            assert setting in seen.headers["__dlq.errors.message"]
        world.group.wait_for_no_lag()
        assert service.process.alive()


def failed_start(world: World, expected: int = 1, **settings: str) -> str:
    service = world.service(**settings)
    service.launch()
    assert service.wait(180) == expected
    text = service.log.read_text()
    assert "Traceback" not in text
    return text


def test_a_missing_topic_is_named(world: World) -> None:
    text = failed_start(world, TINGXIE_TOPICS__DEAD_LETTERS="no-such-topic")
    assert "no-such-topic" in text
    assert "--create-topics" in text


def test_a_broker_that_does_not_answer_is_named(world: World) -> None:
    text = failed_start(world, TINGXIE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9", TINGXIE_KAFKA__STARTUP_TIMEOUT_S="2")
    assert "127.0.0.1:9" in text


def test_a_model_that_does_not_load_is_named(world: World) -> None:
    text = failed_start(world, TINGXIE_ENGINE__MODEL=str(world.folder / "no-model"))
    assert "engine.model" in text
    assert "no-model" in text


def test_wrong_settings_are_usage_errors(world: World) -> None:
    text = failed_start(world, expected=2, TINGXIE_ENGINE__BATCH_SECONDS="-1")
    assert "engine.batch_seconds" in text


def test_refused_credentials_stop_the_process_and_commit_nothing(world: World) -> None:
    world.upload("any.wav", SPOKEN[0].path.read_bytes())
    text = failed_start(world, TINGXIE_STORAGE__SECRET_ACCESS_KEY="wrong")
    assert "storage" in text
    assert "wrong" not in text.replace("wrong-", "")
    assert world.group.lag() > 0
    assert world.dead_letters_read.all() == []
    with world.service():
        assert world.transcript("any.wav").json["status"] == "completed"
