"""Traces of a running service, as a real collector gets them."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import WORK_S, Seen, TopicReader
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer
from tests.servers.collector import CollectedSpan, Collector

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SAMPLE = (Path(__file__).parents[2] / "consumer" / "demo" / "samples" / "studio.flac").read_bytes()
STAGES = ["fetch", "decode", "engine"]
CONSUMER, PRODUCER = 5, 4
QUICK = {
    "TINGXIE_RETRY__ATTEMPTS": "2",
    "TINGXIE_RETRY__BACKOFF_MS": "10",
    "TINGXIE_TELEMETRY__TRACES": "otlp",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
}


@pytest.fixture
def world(kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    with open_world(kafka, demo_models, tmp_path, s3, delays=["1s"], announces=False) as world:
        yield world


def announce(world: World, key: str, number: int) -> tuple[int, int]:
    """Tell the topic of an object, in the trace of this number."""
    traceparent = f"00-{number:032x}-{number:016x}-01"
    event = json.dumps({"bucket": BUCKET, "key": key}).encode()
    return world.produce(event, headers=[("traceparent", traceparent.encode())])


def trace(collector: Collector, number: int, spans: int) -> list[CollectedSpan]:
    """The spans of a trace in the order they began, once the collector has so many."""

    def found() -> list[CollectedSpan]:
        return [each for each in collector.spans() if each.trace_id == f"{number:032x}"]

    collector.process.wait_until(lambda: len(found()) >= spans, WORK_S)
    return sorted(found(), key=lambda each: each.start_ns)


def names(spans: list[CollectedSpan]) -> list[str]:
    return [each.name for each in spans]


def sent_by(seen: Seen) -> tuple[str, str]:
    """Trace and span that a record names."""
    _, trace_id, span_id, _ = seen.headers["traceparent"].split("-")
    return trace_id, span_id


def test_a_trace_leads_from_the_upload_to_its_end(world: World, otel_collector: Collector) -> None:
    world.upload("well.flac", SAMPLE)
    world.upload("late.flac", SAMPLE)
    world.upload("text.flac", b"no recording at all\n" * 100)
    world.proxy.fail(times=3, match="GET */late.flac")  # two tries, then one of the second round
    settings = {**QUICK, "TINGXIE_TELEMETRY__OTLP_ENDPOINT": otel_collector.endpoint_url}
    retries = TopicReader(world.kafka.bootstrap_servers, f"{world.uploads}.retry.1s")
    with world.service(**settings) as service, closing(retries):
        well = announce(world, "well.flac", 1)
        announce(world, "late.flac", 2)
        failed = announce(world, "text.flac", 3)
        transcripts = {key: world.transcript(key) for key in ("well.flac", "late.flac")}
        letter = world.dead_letter(*failed)
        (again,) = retries.until(bool)

        # Without a detour.
        whole, *parts = trace(otel_collector, 1, 5)
        assert names([whole, *parts]) == [f"process {world.uploads}", *STAGES, f"publish {world.transcripts}"]
        assert {each.service for each in parts} == {"tingxie"}
        assert (whole.kind, parts[-1].kind) == (CONSUMER, PRODUCER)
        assert whole.parent_id == f"{1:016x}"
        assert {each.parent_id for each in parts} == {whole.span_id}
        assert sent_by(transcripts["well.flac"]) == (whole.trace_id, parts[-1].span_id)
        for earlier, later in pairwise(parts):
            assert earlier.start_ns < earlier.end_ns <= later.start_ns
        assert whole.start_ns <= parts[0].start_ns
        assert whole.end_ns >= parts[-1].end_ns
        place = whole.attributes["messaging.destination.partition.id"], whole.attributes["messaging.kafka.offset"]
        assert place == (str(well[0]), str(well[1]))
        assert whole.attributes["messaging.consumer.group.name"] == world.group.group_id
        assert not any(each.failed for each in (whole, *parts))

        # By way of a retry topic.
        first, fetch, retried, second, *parts = trace(otel_collector, 2, 8)
        retry_topic = f"{world.uploads}.retry.1s"
        assert names([first, fetch, retried]) == [f"process {world.uploads}", "fetch", f"publish {retry_topic}"]
        assert names([second, *parts]) == [f"process {retry_topic}", *STAGES, f"publish {world.transcripts}"]
        assert (fetch.failed, first.failed, retried.failed, second.failed) == (True, True, False, False)
        assert fetch.attributes["error.type"] == "storage_unavailable"
        assert fetch.events == parts[0].events == ["retry"]
        assert sent_by(again) == (first.trace_id, retried.span_id)
        assert second.parent_id == retried.span_id
        assert second.start_ns - first.start_ns > 1e9
        assert sent_by(transcripts["late.flac"]) == (first.trace_id, parts[-1].span_id)

        # To a dead letter.
        whole, fetch, decode, published = trace(otel_collector, 3, 4)
        assert names([fetch, decode, published]) == ["fetch", "decode", f"publish {world.dead_letters}"]
        assert (whole.failed, fetch.failed, decode.failed, published.failed) == (True, False, True, False)
        assert decode.attributes["error.type"] == letter.headers["__dlq.errors.class"] == "not_media"
        assert sent_by(letter) == (whole.trace_id, published.span_id)

        logged = {line["key"]: line["trace_id"] for line in service.lines() if line["event"] == "transcribed"}
        assert logged == {"well.flac": f"{1:032x}", "late.flac": f"{2:032x}"}
        world.group.wait_for_no_lag()


def test_a_collector_that_does_not_answer_loses_spans_and_no_recording(world: World) -> None:
    keys = [f"{number}.flac" for number in range(20)]
    for key in keys:
        world.upload(key, SAMPLE)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        bounds = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"}
        impatient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.2"}  # so that many exports fail
        settings = {**QUICK, **bounds, **impatient, "TINGXIE_TELEMETRY__OTLP_ENDPOINT": endpoint}
        with world.service(**settings) as service:
            for number, key in enumerate(keys):
                announce(world, key, number + 1)
            seen = [world.transcript(key) for key in keys]
            assert [sent_by(each)[0] for each in seen] == [f"{number + 1:032x}" for number in range(len(keys))]
            world.group.wait_for_no_lag()
            begun = time.monotonic()
            service.send(signal.SIGTERM)
            assert service.wait() == 0
            # What is in work is done; closing alone takes some seconds on a machine that is busy.
            assert time.monotonic() - begun < 25
        lines = service.lines()
    told = [(line["event"], line["endpoint"]) for line in lines if "endpoint" in line and line["level"] == "warning"]
    assert told[0] == ("traces are lost", f"{endpoint}/v1/traces")
    assert [event for event, _ in told].count("traces are lost") == 1
    assert sum("Queue full" in line["event"] for line in lines) <= 1
    assert world.dead_letters_read.all() == []
