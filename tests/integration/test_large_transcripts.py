"""Transcripts too large for an event: stored first, then told; on a real broker and a real bucket."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from consumer.events.stored import StoredTranscript, record_bytes, reference
from consumer.events.transcript import Transcript
from tests.integration.harness import Seen
from tests.integration.media import SPOKEN
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
LONGEST = max(SPOKEN, key=lambda sample: len(sample.text)).path
SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas" / "transcript-ready.v1.schema.json").read_text()))

KEPT = "kept-transcripts"
ANYWHERE = StoredTranscript(f"s3://{KEPT}/transcripts/{'0' * 64}.json", 1_000_000, "0" * 64)


def stored(world: World, event: dict[str, Any]) -> dict[str, Any]:
    """What lies at an event's ``transcript_uri``, once it is found to be what the event says."""
    bucket, _, key = event["transcript_uri"].removeprefix("s3://").partition("/")
    answer = world.s3.get_object(Bucket=bucket, Key=key)
    body = answer["Body"].read()
    assert answer["ContentType"] == "application/json"
    assert (len(body), hashlib.sha256(body).hexdigest()) == (event["transcript_size"], event["transcript_sha256"])
    found = json.loads(body)
    SCHEMA.validate(found)
    assert isinstance(found, dict)
    return found


def objects(world: World) -> list[str]:
    return [item["Key"] for item in world.s3.list_objects_v2(Bucket=KEPT).get("Contents", [])]


def inline(world: World) -> Seen:
    """The longest sample's transcript, sent whole."""
    world.upload("long.wav", LONGEST.read_bytes())
    with world.service():
        seen = world.transcript("long.wav")
        world.group.wait_for_no_lag()
    assert seen.json["transcript_uri"] is None
    assert seen.json["segments"]
    return seen


def test_a_transcript_over_the_limit_is_stored_and_its_event_says_where(world: World) -> None:
    whole = inline(world).json
    transcript = Transcript.model_validate(whole)
    # The text still fits; digits of the times may be more next time.
    limit = record_bytes(reference(transcript, ANYWHERE, text=True), "tingxie") + 16
    assert record_bytes(transcript, "tingxie") > limit
    settings = {"TINGXIE_STORAGE__TRANSCRIPT_BUCKET": KEPT, "TINGXIE_LIMITS__TRANSCRIPT_BYTES": str(limit)}
    with world.service(**settings) as service:
        partition, offset = world.announce("long.wav")
        headers = world.dead_letter(partition, offset).headers
        assert headers["__dlq.errors.class"] == "transcript_bucket_missing"
        assert headers["__dlq.errors.stage"] == "store"
        for part in (f"{BUCKET}/long.wav", KEPT, "storage.transcript_bucket"):
            assert part in headers["__dlq.errors.message"]

        world.s3.create_bucket(Bucket=KEPT)
        world.proxy.fail(times=2, match=f"PUT /{KEPT}/*")
        events = []
        for count in (2, 3):  # one after the other, so that each is recognised in batches of its own
            world.announce("long.wav")
            events.append(world.transcript("long.wav", count=count))
        world.group.wait_for_no_lag()
        assert service.process.alive()
        retries = [line for line in service.lines() if line.get("event") == "retrying"]
        assert [(line["stage"], line["error_class"]) for line in retries] == [("store", "transcript_not_stored")] * 2
    for seen in events:
        event = seen.json
        SCHEMA.validate(event)
        assert event["segments"] == []
        assert {name: event[name] for name in ("id", "text", "duration_ms")} == {
            name: whole[name] for name in ("id", "text", "duration_ms")
        }
        assert stored(world, event) == whole | {"timing": dict.fromkeys(whole["timing"], 0)}
        assert len(seen.value or b"") < limit
    assert len({seen.json["transcript_uri"] for seen in events}) == 1
    assert len(objects(world)) == 1, "a repeat writes the same object"
    assert len(world.dead_letters_read.all()) == 1, "the bucket's own news of it is no upload"


def test_what_the_topic_refuses_is_stored_whatever_the_limit_says(
    kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]
) -> None:
    # Measured after compression: the whole transcript is larger than this, the event without its segments smaller.
    with open_world(kafka, demo_models, tmp_path, s3, transcript_bytes=1_400) as world:
        world.s3.create_bucket(Bucket=KEPT)
        with world.service(TINGXIE_STORAGE__TRANSCRIPT_BUCKET=KEPT) as service:
            world.upload("long.wav", LONGEST.read_bytes())
            event = world.transcript("long.wav").json
            world.group.wait_for_no_lag()
            assert service.process.alive()
        assert (event["text"], event["segments"]) == ("", [])
        assert "transcript_uri" in event["warnings"][-1]
        whole = stored(world, event)
        assert whole["text"]
        assert whole["segments"]
        assert world.dead_letters_read.all() == []
