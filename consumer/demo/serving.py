"""The real service on a thread, with settings that point at the embedded broker and bucket."""

from __future__ import annotations

import threading
from pathlib import Path

from pydantic import SecretStr

from consumer.app import open_service
from consumer.demo.assets import demo_engine_settings
from consumer.demo.bucket import REGION
from consumer.errors import StageDied
from consumer.pipeline.observer import Load, Observer, Observers
from consumer.pipeline.service import Service
from consumer.settings import (
    EngineSettings,
    KafkaSettings,
    LimitSettings,
    RetrySettings,
    Settings,
    StorageSettings,
    TelemetrySettings,
    TopicSettings,
)

BUCKET = "audio-in"
TOPICS = TopicSettings()
CREDENTIALS = "tingxie-demo"
"""Both halves; the embedded bucket takes any."""


def storage_settings(url: str) -> StorageSettings:
    """Of the embedded bucket."""
    return StorageSettings(
        endpoint_url=url,
        region=REGION,
        path_style=True,
        access_key_id=CREDENTIALS,
        secret_access_key=SecretStr(CREDENTIALS),
        allowed_buckets=(BUCKET,),
    )


def demo_settings(*, broker: str, storage: StorageSettings, spool: Path) -> Settings:
    """Settings of the demo's service; those in the environment are for another one, and do not count.

    Args:
        broker: address of the embedded one.
        storage: of the embedded bucket.
        spool: folder for audio in work.
    """
    return Settings.model_construct(
        kafka=KafkaSettings(
            bootstrap_servers=broker,
            group_id="tingxie-demo",
            # The mock cluster lets a member of the classic protocol wait 3 s for others; of this one it does not.
            group_protocol="consumer",
        ),
        storage=storage,
        topics=TOPICS,
        limits=LimitSettings(spool_dir=spool),
        engine=EngineSettings.model_validate(demo_engine_settings()),
        retry=RetrySettings(delays=()),  # who watches sees how it ends at once
        telemetry=TelemetrySettings(port=0),
    )


class _Started(Observer):
    """Notes that the models are loaded and the loop goes round."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def turned(self, load: Load) -> None:
        """See `Observer`."""
        self.event.set()


class ServiceThread:
    """Builds and runs the service on a thread."""

    def __init__(self, settings: Settings, observer: Observer) -> None:
        """Start; returns at once, the model loads on the thread.

        Args:
            settings: of the service.
            observer: called on the thread.
        """
        self._settings = settings
        self._started = _Started()
        self._observer = Observers(observer, self._started)
        self._lock = threading.Lock()
        self._service: Service | None = None
        self._stopping = False
        self._death: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="service", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still works or drains."""
        return self._thread.is_alive()

    def check(self) -> None:
        """Raise what ended the service, if it ended without being told to."""
        if isinstance(self._death, Exception):
            raise self._death
        if self._death is not None or (not self.running and not self._stopping):
            raise StageDied(f"the service ended by itself: {self._death!r}") from self._death

    def stop(self) -> None:
        """Let it drain; returns at once."""
        with self._lock:
            self._stopping = True
            if self._service is not None:
                self._service.stop()

    def close(self) -> None:
        """Stop it and wait; a model that is just loading is not waited for."""
        self.stop()
        if self._started.event.is_set():
            self._thread.join(timeout=self._settings.limits.drain_seconds + 10)

    def _run(self) -> None:
        try:
            with open_service(self._settings, observer=self._observer) as service:
                with self._lock:
                    if self._stopping:
                        return
                    self._service = service
                service.run()
        except BaseException as death:  # noqa: BLE001 - supervised: `check` raises it
            self._death = death
