"""Files into the embedded bucket, and the event for each; on a thread, so that the screen goes on meanwhile."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from queue import SimpleQueue

from consumer.demo.broker import EmbeddedBroker
from consumer.demo.bucket import upload_event
from consumer.errors import StageDied
from consumer.storage.upload import Uploader

MOST_BYTES = 512 * 1024**2
"""The embedded bucket receives a file in memory."""


class UploadThread:
    """Uploads files one after the other and publishes what the bucket would."""

    def __init__(
        self,
        uploader: Uploader,
        broker: EmbeddedBroker,
        *,
        bucket: str,
        topic: str,
        uploaded: Callable[[str], None],
        refused: Callable[[str, str], None],
    ) -> None:
        """Make the bucket in the background and wait for files.

        Args:
            uploader: of the embedded storage.
            broker: the embedded one.
            bucket: to be created.
            topic: of upload events.
            uploaded: told the key before its event is published; called on this thread.
            refused: told the key of a file that cannot be uploaded, and why.
        """
        self._uploader = uploader
        self._broker = broker
        self._bucket = bucket
        self._topic = topic
        self._uploaded = uploaded
        self._refused = refused
        self._numbers = itertools.count(1)
        self._files: SimpleQueue[tuple[str, Path] | None] = SimpleQueue()
        self._death: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
        self._thread.start()

    def put(self, key: str, path: Path) -> None:
        """Upload a file; returns at once.

        Raises:
            StageDied: the thread ended by itself.
        """
        self.check()
        self._files.put((key, path))

    def check(self) -> None:
        """Raise `StageDied` if the thread ended by itself."""
        if self._death is not None:
            raise StageDied(f"uploading to the embedded bucket failed: {self._death}") from self._death

    def close(self) -> None:
        """Finish the file in work, forget the others."""
        while not self._files.empty():
            self._files.get()
        self._files.put(None)
        self._thread.join(timeout=10)
        self._uploader.close()

    def _run(self) -> None:
        try:
            self._uploader.create_bucket(self._bucket)
            while (item := self._files.get()) is not None:
                self._upload(*item)
        except BaseException as death:  # noqa: BLE001 - supervised: `check` raises it
            self._death = death

    def _upload(self, key: str, path: Path) -> None:
        try:
            if (size := path.stat().st_size) > MOST_BYTES:
                limit = f"more than the {MOST_BYTES // 1024**2} MiB that the embedded bucket takes"
                self._refused(key, f"{size / 1024**2:.0f} MiB, {limit}; use tingxie transcribe")
                return
            stored = self._uploader.put_object(self._bucket, key, path)
        except OSError as error:
            self._refused(key, str(error))
            return
        self._uploaded(key)
        event = upload_event(self._bucket, key, stored, at=datetime.now(timezone.utc), sequence=next(self._numbers))
        self._broker.publish(self._topic, f"{self._bucket}/{key}", event)
