"""`tingxie replay` on a real broker, and with a real service behind it."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Producer, TopicPartition

from consumer.demo.assets import SAMPLES
from tests.altered import another_revision
from tests.conftest import Topics
from tests.integration.harness import Seen, TopicReader, produce
from tests.integration.shell import tingxie, under_way
from tests.integration.world import BUCKET, World
from tests.servers import KafkaServer, VersityGateway
from tests.unit.transcript.speech import span, transcript_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SAMPLE = SAMPLES / "hotline.wav"
HOUR_S = 3600
BEGIN_S = int(time.time()) // HOUR_S * HOUR_S - 100 * HOUR_S
"""Brokers take no records from the future, and drop those that are a week old."""
COMMAND_S = 60.0


def announce(kafka: KafkaServer, topics: Topics, count: int) -> None:
    """Native events, one an hour from the beginning on, over all partitions."""
    refused: list[object] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(count):
        value = json.dumps({"bucket": "audio-in", "key": f"{number}.wav"}).encode()
        producer.produce(
            topics.uploads,
            value,
            b"key-%d" % number,
            partition=number % 4,
            timestamp=(BEGIN_S + number * HOUR_S) * 1000,
            on_delivery=lambda error, _: refused.append(error) if error is not None else None,
        )
    assert producer.flush(20) == 0
    assert refused == []


def hour(number: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN_S + number * HOUR_S))


def copies(kafka: KafkaServer, topic: str, replay: str) -> list[Seen]:
    with closing(TopicReader(kafka.bootstrap_servers, topic)) as reader:
        return [each for each in reader.all() if each.headers.get("tingxie-replay") == replay]


def numbers(seen: list[Seen]) -> list[int]:
    return sorted(int(each.json["key"].removesuffix(".wav")) for each in seen)


def forget_that_it_is_done(kafka: KafkaServer, topics: Topics, replay: str) -> None:
    """Leave of a replay in the journal what it had when it began: as if it was killed after its last record."""
    journal = f"{topics.uploads}.journal"
    with closing(TopicReader(kafka.bootstrap_servers, journal)) as reader:
        (*_, begun, done) = [each for each in reader.all() if each.key == f"replay/{replay}".encode()]
    assert "done" in done.json
    produce(kafka.bootstrap_servers, journal, begun.value, key=begun.key)


def transcribe(kafka: KafkaServer, topics: Topics, key: str, revision: str) -> None:
    """Write the transcript of an object as a service does."""
    made = transcript_of([span("你 好。")])
    source = made.source.model_copy(update={"bucket": "audio-in", "key": key})
    model = made.model.model_copy(update={"revision": revision})
    value = made.model_copy(update={"source": source, "model": model}).to_bytes()
    produce(kafka.bootstrap_servers, topics.transcripts, value)


def test_a_window_of_time_is_sent_again_once(kafka: KafkaServer, topics: Topics, environment: dict[str, str]) -> None:
    announce(kafka, topics, 24)
    produce(kafka.bootstrap_servers, topics.uploads, b"nonsense")
    window = ("replay", "--from", hour(2), "--to", hour(8), "--id", "r1")
    code, out, _ = tingxie(environment, *window, "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "6 records would be sent, 6 recordings")
    assert out.splitlines()[1].endswith(f"{topics.uploads}[2] 0")
    assert copies(kafka, topics.uploads, "r1") == []
    code, out, err = tingxie(environment, *window)
    assert (code, out.splitlines()[0], err) == (0, "6 records sent, 6 recordings", "tingxie: replay r1\n")
    code, out, _ = tingxie(environment, *window)
    assert (code, out) == (0, "replay r1 is done: 6 records were sent\n")
    sent = copies(kafka, topics.uploads, "r1")
    assert numbers(sent) == [2, 3, 4, 5, 6, 7]
    assert {each.key for each in sent} == {b"key-%d" % number for number in range(2, 8)}
    assert {each.headers["tingxie-copy-of"].split("/")[0] for each in sent} == {topics.uploads}
    code, _, err = tingxie(environment, "replay", "--id", "r1", "--key", "*")
    assert code == 2
    assert "replay r1 was begun with other options" in err
    code, out, _ = tingxie(environment, "replay", "--id", "r2")
    assert out.splitlines()[0] == "24 records sent, 24 recordings"
    assert "  passed over, copy: 6" in out.splitlines()
    assert "  passed over, no event: 1" in out.splitlines()


def test_offsets_of_a_partition_and_another_topic(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str], unique_name: Callable[[str], str]
) -> None:
    announce(kafka, topics, 16)
    other = unique_name("replayed")
    kafka.create_topics(other)
    code, _, err = tingxie(environment, "replay", "--from", "1")
    assert code == 2
    assert "has 4 partitions: an offset needs --partition" in err
    words = ("--partition", "2", "--from", "1", "--to", "3", "--to-topic", other, "--id", "r1")
    assert tingxie(environment, "replay", *words)[0] == 0
    assert numbers(copies(kafka, other, "r1")) == [6, 10]
    assert copies(kafka, topics.uploads, "r1") == []


def test_only_what_has_no_transcript(kafka: KafkaServer, topics: Topics, environment: dict[str, str]) -> None:
    announce(kafka, topics, 4)
    transcribe(kafka, topics, "1.wav", "v2.0.4")
    transcribe(kafka, topics, "2.wav", "v2.1.0")
    code, out, _ = tingxie(environment, "replay", "--only-missing", "--id", "missing")
    assert code == 0
    assert "  passed over, transcribed: 2" in out.splitlines()
    assert numbers(copies(kafka, topics.uploads, "missing")) == [0, 3]
    assert tingxie(environment, "replay", "--model-older-than", "v2.1.0", "--id", "upgrade")[0] == 0
    assert numbers(copies(kafka, topics.uploads, "upgrade")) == [0, 1, 3]


def test_an_event_of_which_recordings_were_transcribed_meanwhile_is_not_sent_again(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    objects = [{"s3": {"bucket": {"name": "audio-in"}, "object": {"key": f"{number}.wav"}}} for number in range(3)]
    event = {"Records": [{"eventName": "ObjectCreated:Put", **each} for each in objects]}
    produce(kafka.bootstrap_servers, topics.uploads, json.dumps(event).encode())
    words = ("replay", "--only-missing", "--id", "r1")
    code, out, _ = tingxie(environment, *words)
    assert (code, out.splitlines()[0]) == (0, "1 records sent, 3 recordings")
    forget_that_it_is_done(kafka, topics, "r1")
    transcribe(kafka, topics, "0.wav", "v1")
    code, out, _ = tingxie(environment, *words)
    assert (code, out.splitlines()[0]) == (0, "0 records sent, 0 recordings")
    assert "  passed over, sent before: 1" in out.splitlines()
    assert len(copies(kafka, topics.uploads, "r1")) == 1
    assert tingxie(environment, *words)[1] == "replay r1 is done: 1 records were sent\n"


def test_a_replay_that_is_killed_or_interrupted_goes_on_where_it_was(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    announce(kafka, topics, 80)
    for ending in (signal.SIGKILL, signal.SIGINT):
        before = len(copies(kafka, topics.uploads, "r1"))
        words = ("replay", "--id", "r1", "--rate", "20")
        with under_way(environment, *words, topic=topics.uploads, records=80 + before + 8) as replaying:
            replaying.process.send_signal(ending)
            code, _, err = replaying.end()
        assert code == (130 if ending == signal.SIGINT else -signal.SIGKILL)
        assert ("the same options with --id r1 send the rest" in err) == (ending == signal.SIGINT)
        produce(kafka.bootstrap_servers, topics.uploads, b'{"bucket": "audio-in", "key": "99.wav"}')
    assert len(copies(kafka, topics.uploads, "r1")) < 80
    code, out, _ = tingxie(environment, "replay", "--id", "r1")
    assert code == 0
    assert "passed over, sent before" in out
    assert numbers(copies(kafka, topics.uploads, "r1")) == list(range(80)), "none missing, none twice, none from later"


def test_a_replay_of_which_retention_removed_a_part_says_so(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str], unique_name: Callable[[str], str]
) -> None:
    announce(kafka, topics, 80)
    other = unique_name("replayed")
    kafka.create_topics(other)
    words = ("replay", "--to-topic", other, "--id", "r1")
    with under_way(environment, *words, "--rate", "20", topic=other, records=4) as replaying:
        replaying.process.send_signal(signal.SIGKILL)
        assert replaying.process.wait(COMMAND_S) == -signal.SIGKILL
    for each in kafka.admin.delete_records([TopicPartition(topics.uploads, each, 15) for each in range(4)]).values():
        each.result(20)
    before = numbers(copies(kafka, other, "r1"))
    gone = Counter(number % 4 for number in range(60) if number not in before)
    listed = ", ".join(f"{count} of {topics.uploads}[{each}]" for each, count in sorted(gone.items()))
    # What the service is told for its group must not let a replay pass over what is still there.
    environment["TINGXIE_KAFKA__PROPERTIES"] = json.dumps({"auto.offset.reset": "latest"})
    code, out, err = tingxie(environment, *words)
    assert code == 1
    assert f"replay r1 is not complete: records of its window were removed before it read them, up to {listed};" in err
    sent = numbers(copies(kafka, other, "r1"))
    assert sent == sorted({*before, *range(60, 80)})
    code, out, err = tingxie(environment, *words)
    assert (code, out) == (1, f"replay r1 is over: {len(sent)} records were sent\n")
    assert f"up to {listed};" in err


def test_what_lies_in_a_bucket_is_announced_once(
    kafka: KafkaServer,
    topics: Topics,
    service_environment: dict[str, str],
    bucket: str,
    bucket_server: VersityGateway,
    s3: Callable[..., S3Client],
) -> None:
    client = s3(bucket_server.endpoint_url)
    keys = ["calls/a b+c.wav", "calls/日本.mp3", "calls/readme.txt", "other/z.wav"]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"sound")
    words = ("replay", "--from-bucket", f"s3://{bucket}/calls/", "--id", "r1")
    code, out, _ = tingxie(service_environment, *words, "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "2 records would be sent, 2 recordings")
    assert tingxie(service_environment, *words)[0] == 0
    sent = copies(kafka, topics.uploads, "r1")
    assert {each.json["key"] for each in sent} == {keys[0], keys[1]}
    assert {each.key for each in sent} == {f"{bucket}/{key}".encode() for key in keys[:2]}
    assert {each.json["etag"] for each in sent} == {client.head_object(Bucket=bucket, Key=keys[0])["ETag"].strip('"')}
    forget_that_it_is_done(kafka, topics, "r1")
    client.put_object(Bucket=bucket, Key="calls/later.wav", Body=b"sound")
    code, out, _ = tingxie(service_environment, *words)
    assert (code, out.splitlines()[0]) == (0, "0 records sent, 0 recordings")
    assert "  passed over, sent before: 2" in out.splitlines()
    assert len(copies(kafka, topics.uploads, "r1")) == 2
    code, _, err = tingxie(service_environment, "replay", "--from-bucket", "s3://nowhere")
    assert code == 1
    assert "nowhere" in err


BEFORE, WITHIN, AFTER = 150, 250, 100


def next_second() -> str:
    """The beginning of the next second, once it has come: times of the command line have no fractions."""
    begin = int(time.time()) + 1
    while time.time() < begin:
        time.sleep(0.01)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))


def test_after_a_model_upgrade_a_window_is_transcribed_again_and_nothing_else(
    world: World, demo_models: Path, tmp_path: Path
) -> None:
    bounds: list[str] = []
    with world.service():
        for count in (BEFORE, WITHIN, AFTER):
            for number in range(count):
                world.upload(f"{len(bounds)}/{number}.wav", SAMPLE.read_bytes())
            bounds.append(next_second())
        world.transcripts_read.until(lambda seen: len(seen) >= BEFORE + WITHIN + AFTER)
        world.group.wait_for_no_lag()
    old = {each.json["model"]["revision"] for each in world.transcripts_read.records}
    assert len(old) == 1
    window = ("--from", bounds[0], "--to", bounds[1], "--id", "upgrade", "--rate", "60")
    newer = another_revision(demo_models / "paraformer", tmp_path / "newer")
    with world.service(TINGXIE_ENGINE__MODEL=str(newer)):
        midway = BEFORE + WITHIN + AFTER + 50
        with under_way(world.environment, "replay", *window, topic=world.uploads, records=midway) as replaying:
            replaying.process.send_signal(signal.SIGKILL)
            assert replaying.process.wait(COMMAND_S) == -signal.SIGKILL
        code, _, _ = tingxie(world.environment, "replay", *window)
        assert code == 0
        world.transcripts_read.until(lambda seen: len(seen) >= BEFORE + WITHIN + AFTER + WITHIN)
        world.group.wait_for_no_lag()
    again = [each for each in world.transcripts_read.all() if each.headers.get("tingxie-replay") == "upgrade"]
    assert Counter((each.key or b"").decode() for each in again) == {
        f"{BUCKET}/1/{number}.wav": 1 for number in range(WITHIN)
    }
    new = {each.json["model"]["revision"] for each in again}
    assert len(new) == 1
    assert new != old
    assert len(world.transcripts_read.records) == BEFORE + WITHIN + AFTER + WITHIN
    assert world.dead_letters_read.all() == []
