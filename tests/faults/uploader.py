"""Uploads throughout a run: recordings and broken media, some objects twice, some announced by the bucket itself."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import Message, Producer

from tests.faults.clips import Clip, bad_clips
from tests.faults.evidence import Content
from tests.faults.reading import UPLOAD

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BAD_SHARE = 0.2
AGAIN_SHARE = 0.2
"""Of the uploads, under the name of an object that was uploaded shortly before."""
BUCKET_SHARE = 0.1
"""Of the uploads, announced by the bucket itself; its events have one key and go to one partition."""
RECENT = 8
FLUSH_S = 120.0


class Uploader:
    """Puts objects and announces them, from a thread of its own between `start` and `stop`.

    Args:
        s3: client of the bucket that announces nothing.
        announcing: client of the same bucket that announces what is put; None when there is none.
        bucket: its name.
        properties: of the producer, with bootstrap.servers.
        topic: upload topic.
        clips: good recordings with their content.
        prefix: of all keys and names; no two uploaders have the same.
        rate: uploads a second.
        rng: draws what is uploaded.
    """

    def __init__(
        self,
        *,
        s3: S3Client,
        announcing: S3Client | None,
        bucket: str,
        properties: Mapping[str, Any],
        topic: str,
        clips: Mapping[Clip, Content],
        prefix: str,
        rate: float,
        rng: random.Random,
    ) -> None:
        self.objects: dict[str, dict[str, Content]] = {}
        self.announced: set[str] = set()
        self.unannounced = 0
        self._s3, self._announcing, self._bucket, self._topic = s3, announcing, bucket, topic
        self._good = list(clips.items())
        self._bad = [(clip, clip.content) for clip in bad_clips() if clip.content is not None]
        self._prefix, self._rate, self._rng = prefix, rate, rng
        self._producer = Producer({**properties, "enable.idempotence": True, "message.timeout.ms": 600_000})
        self._recent: list[str] = []
        self._number = 0
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until the cluster has acknowledged every announcement.

        Raises:
            RuntimeError: it did not, or an upload failed.
        """
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise RuntimeError("uploading failed") from self._error
        if left := self._producer.flush(FLUSH_S):
            raise RuntimeError(f"{left} announcements were not acknowledged within {FLUSH_S:.0f} s")

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                self._upload()
                self._producer.poll(0)
                due += 1 / self._rate
        except BaseException as error:  # noqa: BLE001 - handed to whoever calls `stop`
            self._error = error

    def _upload(self) -> None:
        self._number += 1
        clip, content = self._rng.choice(self._bad if self._rng.random() < BAD_SHARE else self._good)
        name = f"{self._prefix}{self._number:06}"
        if self._announcing is not None and clip.body is not None and self._rng.random() < BUCKET_SHARE:
            self._upload_announced(self._announcing, f"{name} {clip.name}", clip, content)
            return
        key = f"{name} {clip.name}"
        if clip.body is not None:
            if self._recent and self._rng.random() < AGAIN_SHARE:
                key = self._rng.choice(self._recent)
            self._recent = [*self._recent, key][-RECENT:]
        self._note(key, clip, content)
        if clip.body is not None:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=clip.body)
        event = {"bucket": self._bucket, "key": key, "metadata": {UPLOAD: name}}
        self._producer.produce(
            self._topic, json.dumps(event).encode(), key.encode(), on_delivery=partial(self._delivered, name)
        )

    def _upload_announced(self, s3: S3Client, key: str, clip: Clip, content: Content) -> None:
        self._note(key, clip, content)
        try:
            s3.put_object(Bucket=self._bucket, Key=key, Body=clip.body or b"")
        except (BotoCoreError, ClientError):
            # A bucket without its broker may refuse; whether it announced is then seen in the topic.
            self.unannounced += 1

    def _note(self, key: str, clip: Clip, content: Content) -> None:
        self.objects.setdefault(f"{self._bucket}/{key}", {})[clip.etag] = content

    def _delivered(self, name: str, error: object, _: Message) -> None:
        if error is None:
            self.announced.add(name)
