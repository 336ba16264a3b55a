"""Recordings land in a real bucket, whose own events reach a real broker; transcripts come out of a topic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

from consumer.transcript.cer import compare
from tests.integration.harness import ServiceProcess
from tests.integration.media import silence, silent_film, wav
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "consumer" / "demo" / "samples"
TRUTH = json.loads((SAMPLES / "truth.json").read_text())["samples"]
SPOKEN = [each for each in TRUTH if each["expect"] == "completed"]
GOOD = SPOKEN[0]
"""A recording for tests in which any will do."""


@pytest.fixture(scope="module")
def world(
    kafka: KafkaServer,
    demo_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
    s3: Callable[..., S3Client],
) -> Iterator[World]:
    with open_world(kafka, demo_models, tmp_path_factory.mktemp("service"), s3) as world:
        yield world


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[ServiceProcess]:
    with world.service() as service:
        yield service


@pytest.fixture(autouse=True)
def _nothing_left_behind(world: World, service: ServiceProcess) -> Iterator[None]:
    """Whatever a test did: the service goes on, and all records it was given are ended and committed."""
    yield
    world.group.wait_for_no_lag()
    assert service.process.alive()
    assert service.get("/live")[0] == 200


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def upload_good(world: World, key: str) -> None:
    world.upload(key, sample(GOOD["file"]))


def test_samples_of_all_containers_are_transcribed(world: World) -> None:
    for each in SPOKEN:
        world.upload(f"samples/{each['file']}", sample(each["file"]))
    schema = json.loads((ROOT / "schemas" / "transcript-ready.v1.schema.json").read_text())
    heard, truth = "", ""
    for each in SPOKEN:
        seen = world.transcript(f"samples/{each['file']}")
        jsonschema.validate(seen.json, schema)
        assert seen.json["status"] == "completed"
        assert seen.json["source"]["key"] == f"samples/{each['file']}"
        assert seen.headers["ce_type"] == "tingxie.transcript.ready.v1"
        assert seen.headers["ce_subject"] == f"{BUCKET}/samples/{each['file']}"
        heard += seen.json["text"]
        truth += each["text"]
    assert compare(truth, heard).rate <= 0.01


@pytest.mark.parametrize("key", ["a b+c&é 100%.wav", "日本 lecture/%2B听写.wav", "plus+and%20percent.wav"])
def test_any_key_survives(world: World, key: str) -> None:
    upload_good(world, key)
    assert world.transcript(key).json["source"]["key"] == key


def test_the_same_upload_twice_has_the_same_id(world: World) -> None:
    upload_good(world, "twice.wav")
    first = world.transcript("twice.wav")
    world.announce("twice.wav")
    second = world.transcript("twice.wav", count=2)
    assert first.json["id"] == second.json["id"] == second.headers["ce_id"]


def test_a_trace_is_carried_through(world: World) -> None:
    upload_good(world, "traced.wav")
    world.transcript("traced.wav")
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    value = json.dumps({"bucket": BUCKET, "key": "traced.wav", "metadata": {"ticket": "A-17"}}).encode()
    world.produce(value, headers=[("traceparent", traceparent.encode())])
    seen = world.transcript("traced.wav", count=2)
    assert seen.headers["traceparent"] == traceparent
    assert seen.json["metadata"] == {"ticket": "A-17"}


def assert_dead_letter(seen: Any, *, code: str, stage: str, value: bytes | None, world: World) -> None:
    assert seen.value == value
    assert seen.headers["__dlq.errors.class"] == code
    assert seen.headers["__dlq.errors.stage"] == stage
    assert seen.headers["__dlq.errors.topic"] == world.uploads
    assert seen.headers["__dlq.errors.group"] == world.group.group_id
    assert seen.headers["kafka_dlt-original-topic"] == world.uploads
    assert seen.headers["__dlq.errors.message"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"not json", "event_not_json"),
        (b"", "event_not_json"),
        (None, "event_not_json"),
        (b'{"hello": "world"}', "event_unknown"),
        (b"[1, 2, 3]", "event_unknown"),
        (b'{"bucket": "audio-in", "key": 7}', "event_invalid"),
    ],
)
def test_an_event_nobody_can_read_is_a_dead_letter(world: World, value: bytes | None, code: str) -> None:
    place = world.produce(value, key=b"k", headers=[("mine", b"kept")])
    seen = world.dead_letter(*place)
    assert_dead_letter(seen, code=code, stage="event", value=value, world=world)
    assert seen.key == b"k"
    assert seen.headers["mine"] == "kept"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"bucket": BUCKET, "key": "nobody/put/this.wav"}, "object_missing"),
        ({"bucket": "secret-bucket", "key": "x.wav"}, "bucket_not_allowed"),
    ],
)
def test_an_object_out_of_reach_is_a_dead_letter(world: World, event: dict[str, str], code: str) -> None:
    value = json.dumps(event).encode()
    seen = world.dead_letter(*world.produce(value))
    stage = "fetch" if code == "object_missing" else "event"
    assert_dead_letter(seen, code=code, stage=stage, value=value, world=world)
    assert event["key"] in seen.headers["__dlq.errors.message"]


@pytest.mark.parametrize(
    ("key", "body", "code", "stage"),
    [
        ("empty.wav", b"", "object_empty", "fetch"),
        ("large.wav", bytes(5 * 1024 * 1024), "object_too_large", "fetch"),
        ("text.wav", "这不是录音。\n".encode() * 100, "not_media", "decode"),
        ("film.mp4", silent_film(), "no_audio_stream", "decode"),
    ],
)
def test_an_upload_without_audio_is_a_dead_letter(world: World, key: str, body: bytes, code: str, stage: str) -> None:
    world.upload(key, body)
    seen = world.dead_letter_of(key)
    assert seen.headers["__dlq.errors.class"] == code
    assert seen.headers["__dlq.errors.stage"] == stage
    assert seen.headers["__dlq.errors.retryable"] == "false"
    assert key in seen.headers["__dlq.errors.message"]


def test_an_object_deleted_before_it_was_fetched_is_a_dead_letter(world: World) -> None:
    world.proxy.stall(times=1, match="GET */held.wav")
    upload_good(world, "held.wav")
    upload_good(world, "gone.wav")
    world.transcript("gone.wav")
    world.s3.delete_object(Bucket=BUCKET, Key="gone.wav")
    seen = world.dead_letter(*world.announce("gone.wav"))
    assert seen.headers["__dlq.errors.class"] == "object_missing"
    world.proxy.release()
    assert world.transcript("held.wav").json["status"] == "completed"


@pytest.mark.parametrize(("key", "body"), [("10ms.wav", silence(0.01)), ("silence.wav", silence(5.0))])
def test_silence_is_a_transcript(world: World, key: str, body: bytes) -> None:
    world.upload(key, body)
    seen = world.transcript(key)
    assert seen.json["status"] == "no_speech"
    assert seen.json["text"] == ""
    assert seen.json["segments"] == []


def test_a_truncated_mp3_is_transcribed_as_far_as_it_goes(world: World) -> None:
    name = next(each["file"] for each in SPOKEN if each["file"].endswith(".mp3"))
    whole = sample(name)
    world.upload("cut.mp3", whole[: len(whole) * 2 // 3])
    seen = world.transcript("cut.mp3")
    assert seen.json["status"] == "completed"
    whole_ms = world_duration(world, name, whole)
    assert 0.5 * whole_ms < seen.json["duration_ms"] < 0.8 * whole_ms


def world_duration(world: World, name: str, body: bytes) -> int:
    world.upload(f"whole/{name}", body)
    return int(world.transcript(f"whole/{name}").json["duration_ms"])


def test_a_storage_that_answers_503_twice_is_asked_again(world: World, service: ServiceProcess) -> None:
    world.proxy.fail(times=2, match="GET */flaky.wav")
    upload_good(world, "flaky.wav")
    assert world.transcript("flaky.wav").json["status"] == "completed"
    lines = [line for line in service.lines() if line.get("event") == "retrying"]
    assert [line["attempt"] for line in lines if "flaky.wav" in line["error"]] == [1, 2]
    assert {line["error_class"] for line in lines} == {"storage_unavailable"}


def test_a_storage_that_stays_away_is_a_dead_letter_that_may_be_tried_again(world: World) -> None:
    world.proxy.fail(times=None, match="GET */never.wav")
    upload_good(world, "never.wav")
    seen = world.dead_letter_of("never.wav")
    assert seen.headers["__dlq.errors.class"] == "storage_unavailable"
    assert seen.headers["__dlq.errors.retryable"] == "true"
    assert seen.headers["__dlq.errors.delivery.count"] == "5"
    world.proxy.clear()


def test_a_download_cut_midway_is_fetched_again(world: World) -> None:
    world.proxy.cut(times=1, after=2000, match="GET */cut-download.wav")
    upload_good(world, "cut-download.wav")
    assert world.transcript("cut-download.wav").json["status"] == "completed"


def s3_event(*keys: str) -> bytes:
    """As the bucket writes it, with several records."""
    return json.dumps(
        {
            "Records": [
                {
                    "eventVersion": "2.2",
                    "eventSource": "aws:s3",
                    "eventName": "s3:ObjectCreated:Put",
                    "s3": {
                        "configurationId": "webhook-global",
                        "bucket": {"name": BUCKET},
                        "object": {"key": key, "size": 1, "eTag": '"x"', "versionId": None, "sequencer": "1"},
                    },
                }
                for key in keys
            ]
        }
    ).encode()


def test_several_recordings_under_one_offset_end_each_by_itself(world: World) -> None:
    upload_good(world, "several.wav")
    world.transcript("several.wav")
    value = s3_event("several.wav", "several-missing.wav")
    seen = world.dead_letter(*world.produce(value))
    assert_dead_letter(seen, code="object_missing", stage="fetch", value=value, world=world)
    assert seen.headers["tingxie-recording"] == f"{BUCKET}/several-missing.wav"
    world.transcript("several.wav", count=2)


def test_deletions_and_test_events_are_skipped_and_counted(world: World, service: ServiceProcess) -> None:
    before = len(world.dead_letters_read.all())
    world.produce(b'{"Bucket":"Test-Bucket","Event":"s3:TestEvent","Service":"S3","Time":"2026-11-01T00:00:00Z"}')
    world.produce(s3_event("deleted.wav").replace(b"s3:ObjectCreated:Put", b"s3:ObjectRemoved:Delete"))
    world.group.wait_for_no_lag()
    assert len(world.dead_letters_read.all()) == before
    metrics = service.get("/metrics")[1]
    skipped = next(line for line in metrics.splitlines() if line.startswith('tingxie_records_total{outcome="skipped"}'))
    assert float(skipped.split()[-1]) >= 2


def test_options_of_the_event_are_honoured(world: World) -> None:
    upload_good(world, "options.wav")
    world.transcript("options.wav")
    world.announce("options.wav", options={"timestamps": "sentence"})
    segments = world.transcript("options.wav", count=2).json["segments"]
    assert segments
    assert not any(segment.get("words") for segment in segments)


def test_log_lines_name_the_record_and_the_object(world: World, service: ServiceProcess) -> None:
    upload_good(world, "logged.wav")
    world.transcript("logged.wav")
    world.group.wait_for_no_lag()
    line = next(line for line in service.lines() if line.get("key") == "logged.wav")
    assert line["event"] == "transcribed"
    assert line["bucket"] == BUCKET
    assert {"topic", "partition", "offset", "audio_ms", "latency_ms", "fetch_ms", "decode_ms", "engine_ms"} <= set(line)


def test_noise_is_a_recording_like_any_other(world: World) -> None:
    world.upload("noise.wav", wav(np.random.default_rng(1).normal(0, 0.1, 32_000)))
    assert world.transcript("noise.wav").json["status"] in {"completed", "no_speech"}
