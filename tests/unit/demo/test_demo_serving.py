from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from consumer.demo import serving
from consumer.demo.assets import MODELS, demo_engine_settings
from consumer.demo.serving import BUCKET, ServiceThread, demo_settings, storage_settings
from consumer.errors import ModelUnavailable, StageDied, TingxieError
from consumer.pipeline.observer import Load, Observer
from consumer.settings import EngineSettings, Settings

SETTINGS = demo_settings(broker="127.0.0.1:1", storage=storage_settings("http://127.0.0.1:2"), spool=Path("spool"))


class FakeService:
    """In place of the service: loops until it is stopped, or fails."""

    def __init__(self, observer: Observer, error: BaseException | None) -> None:
        self.closed = False
        self._observer = observer
        self._error = error
        self._stop = threading.Event()

    def run(self) -> None:
        if self._error is not None:
            raise self._error
        while not self._stop.wait(0.01):
            self._observer.turned(Load(0, 0, 0))

    def stop(self) -> None:
        self._stop.set()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException | None], list[FakeService]]:
    """Puts a fake service in place; returns the list of those that were opened."""

    def install(error: BaseException | None) -> list[FakeService]:
        opened: list[FakeService] = []

        @contextmanager
        def open_service(settings: Settings, *, observer: Observer) -> Iterator[FakeService]:
            assert settings is SETTINGS
            opened.append(FakeService(observer, error))
            yield opened[0]
            opened[0].closed = True

        monkeypatch.setattr(serving, "open_service", open_service)
        return opened

    return install


def death_of(thread: ServiceThread) -> TingxieError:
    while True:
        try:
            thread.check()
        except TingxieError as error:  # noqa: PERF203 - the loop ends with it
            return error


def test_it_serves_until_it_is_closed(serve: Callable[[BaseException | None], list[FakeService]]) -> None:
    opened = serve(None)
    turned = threading.Event()

    class Turned(Observer):
        def turned(self, load: Load) -> None:
            turned.set()

    with closing(ServiceThread(SETTINGS, Turned())) as thread:
        assert turned.wait(20)
        running = [thread.running]
        thread.check()
    assert [service.closed for service in opened] == [True]
    running.append(thread.running)
    assert running == [True, False]
    thread.check()  # to end when told so is no fault


def test_what_ends_the_service_is_raised(serve: Callable[[BaseException | None], list[FakeService]]) -> None:
    serve(ModelUnavailable("no such folder"))
    with closing(ServiceThread(SETTINGS, Observer())) as thread:
        assert str(death_of(thread)) == "no such folder"


def test_an_end_without_a_reason_is_a_fault(serve: Callable[[BaseException | None], list[FakeService]]) -> None:
    serve(SystemExit(3))
    with closing(ServiceThread(SETTINGS, Observer())) as thread:
        error = death_of(thread)
    assert isinstance(error, StageDied)
    assert "SystemExit(3)" in str(error)


def test_settings_of_the_environment_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_KAFKA__PROPERTIES", '{"security.protocol": "SASL_SSL"}')
    monkeypatch.setenv("TINGXIE_ENGINE__MODEL", "another")
    monkeypatch.setenv("TINGXIE_STORAGE__ALLOWED_BUCKETS", '["another"]')
    settings = demo_settings(broker="127.0.0.1:1", storage=storage_settings("http://127.0.0.1:2"), spool=Path("spool"))
    assert settings == SETTINGS
    assert settings.kafka.bootstrap_servers == "127.0.0.1:1"
    assert settings.storage.allowed_buckets == (BUCKET,)
    assert settings.telemetry.port == 0


def test_the_models_that_ship_are_there() -> None:
    settings = EngineSettings.model_validate(demo_engine_settings())
    named = {Path(folder) for folder in (settings.model, settings.vad, settings.punctuation)}
    assert {folder.parent for folder in named} == {MODELS}
    for folder in named:
        assert (folder / "model.pt").is_file()
        assert (folder / "config.yaml").is_file()
    assert sum(file.stat().st_size for file in MODELS.rglob("*")) <= 10 * 1024**2
