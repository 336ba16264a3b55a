"""The loop everybody writes first: poll, work, produce, with the client's automatic commits. The suite's reference.

It reads the same settings from the environment as the service does. What it does not do is recognise speech: it fetches
the object, waits as long as recognition takes, and says what the recording is known to say.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import Consumer, Producer

from tests.faults.clips import bad_clips

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WORK_S = 0.15
"""What the service takes for a recording of a few seconds on one CPU."""


def setting(section: str, name: str) -> str:
    """A setting of the service."""
    return os.environ[f"TINGXIE_{section}__{name}"]


def main() -> None:
    """Work until SIGTERM."""
    truth: dict[str, dict[str, str]] = json.loads(Path(os.environ["PLAIN_TRUTH"]).read_text())
    common = json.loads(setting("KAFKA", "PROPERTIES")) | {"bootstrap.servers": setting("KAFKA", "BOOTSTRAP_SERVERS")}
    protocol = {"group.protocol": setting("KAFKA", "GROUP_PROTOCOL")}
    consumer = Consumer(
        {**common, **protocol, "group.id": setting("KAFKA", "GROUP_ID"), "auto.offset.reset": "earliest"}
    )
    producer = Producer({**common})
    s3 = boto3.client(
        "s3",
        endpoint_url=setting("STORAGE", "ENDPOINT_URL"),
        region_name="us-east-1",
        aws_access_key_id=setting("STORAGE", "ACCESS_KEY_ID"),
        aws_secret_access_key=setting("STORAGE", "SECRET_ACCESS_KEY"),
        config=Config(s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=5),
    )
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    consumer.subscribe([setting("TOPICS", "UPLOADS")])
    while not stopping:
        message = consumer.poll(0.5)
        producer.poll(0)
        if message is None or message.error() is not None:
            continue
        value = message.value() or b""
        event: dict[str, Any] = json.loads(value)
        for bucket, key, metadata in named(event):
            work(s3, producer, truth, bucket, key, metadata, value)
    producer.flush(10)
    consumer.close()


def named(event: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """Bucket, key and metadata of each recording an event announces."""
    if "key" in event:
        return [(event["bucket"], event["key"], event["metadata"])]
    return [(each["s3"]["bucket"]["name"], each["s3"]["object"]["key"], {}) for each in event.get("Records", ())]


def work(
    s3: S3Client,
    producer: Producer,
    truth: dict[str, dict[str, str]],
    bucket: str,
    key: str,
    metadata: dict[str, str],
    value: bytes,
) -> None:
    """Transcribe one recording; what fails is printed, and the loop goes on."""
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        if "NoSuchKey" in str(error):
            dead_letter(producer, value, "object_missing")
        else:
            print(f"failed: {key}: {error}", flush=True)  # noqa: T201 - as such loops do
        return
    time.sleep(WORK_S)
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if etag not in truth:
        dead_letter(producer, value, error_class_of(etag))
        return
    transcript = {
        "id": hashlib.md5(f"{bucket}/{key}/{etag}".encode(), usedforsecurity=False).hexdigest(),
        **truth[etag],
        "source": {"bucket": bucket, "key": key, "etag": etag},
        "timing": {"queued_ms": 0, "total_ms": round(WORK_S * 1000)},
        "metadata": metadata,
    }
    made = {"ce_source": setting("TELEMETRY", "CE_SOURCE"), "ce_time": datetime.now(timezone.utc).isoformat()}
    producer.produce(
        setting("TOPICS", "TRANSCRIPTS"),
        json.dumps(transcript).encode(),
        headers=[(name, text.encode()) for name, text in made.items()],
    )


def dead_letter(producer: Producer, value: bytes, error_class: str) -> None:
    """Give a recording up."""
    producer.produce(setting("TOPICS", "DEAD_LETTERS"), value, headers=[("__dlq.errors.class", error_class.encode())])


def error_class_of(etag: str) -> str:
    """What is wrong with media that cannot be transcribed."""
    known = {clip.etag: clip.content.error_class for clip in bad_clips() if clip.content is not None}
    return known.get(etag, "not_media")


if __name__ == "__main__":
    main()
