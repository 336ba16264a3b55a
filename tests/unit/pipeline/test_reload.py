from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from consumer.errors import ModelUnavailable, UsageError
from consumer.operations.server import admin_server
from consumer.pipeline.reload import ModelReload
from consumer.settings import EngineSettings, Settings
from consumer.transcript.types import ModelInfo
from tests.unit.pipeline.bench import MODEL

NEWER = replace(MODEL, revision="2")
WAIT_S = 30.0


class FakeEngine:
    """Takes the model it is told to; a test may hold it, or make it refuse."""

    def __init__(self) -> None:
        self.model: ModelInfo | None = MODEL
        self.asked: list[EngineSettings] = []
        self.gate = threading.Event()
        self.gate.set()
        self.refusal: ModelUnavailable | None = None

    def replace(self, settings: EngineSettings) -> ModelInfo:
        self.asked.append(settings)
        assert self.gate.wait(WAIT_S)
        if self.refusal is not None:
            raise self.refusal
        assert self.model is not None
        self.model = replace(self.model, revision=settings.model_revision)
        return self.model


class Bench:
    """A reload of a fake engine, and what it told."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.outcomes: list[str] = []
        self.settings = Settings(engine=EngineSettings(model_revision="2", threads=7))
        self.problem: UsageError | None = None
        self.reload = ModelReload(
            self.engine, EngineSettings(model_revision="1", threads=3), self.load, self.outcomes.append
        )

    def load(self) -> Settings:
        if self.problem is not None:
            raise self.problem
        return self.settings

    def once(self) -> list[dict[str, object]]:
        with capture_logs() as logs:
            self.reload.request()
            self.reload.close(WAIT_S)
        return [dict(line) for line in logs]

    def state(self) -> dict[str, object]:
        """Without how long the last one took."""
        state = self.reload.state()
        last = state["last"]
        assert isinstance(last, dict)
        return {**state, "last": {name: value for name, value in last.items() if name != "seconds"}}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_models_are_replaced_by_those_that_the_settings_name_now(bench: Bench) -> None:
    logs = bench.once()
    (asked,) = bench.engine.asked
    assert (asked.model_revision, asked.threads) == ("2", 3), "only models are taken up"
    assert bench.outcomes == ["replaced"]
    assert logs[-1] == {
        "event": "models replaced",
        "log_level": "info",
        "model": "demo",
        "revision": "1",
        "by": "demo",
        "by_revision": "2",
    }
    state = bench.reload.state()
    assert state == {
        "model": "demo",
        "revision": "2",
        "reloading": False,
        "last": {"outcome": "replaced", "seconds": 0.0},
    }


def test_the_same_models_are_no_replacement(bench: Bench) -> None:
    bench.settings = Settings(engine=EngineSettings(model_revision="1"))
    assert bench.once()[-1]["event"] == "models stay: the settings name the same ones"
    assert bench.outcomes == ["unchanged"]


def test_a_refusal_is_logged_counted_and_told(bench: Bench) -> None:
    bench.engine.refusal = ModelUnavailable("engine.model: it is broken")
    line = bench.once()[-1]
    assert (line["log_level"], line["error"], line["revision"]) == ("error", "engine.model: it is broken", "1")
    assert bench.outcomes == ["refused"]
    assert bench.state()["last"] == {"outcome": "refused", "error": "engine.model: it is broken"}


def test_settings_that_are_wrong_are_a_refusal(bench: Bench) -> None:
    bench.problem = UsageError("settings are wrong")
    bench.once()
    assert (bench.outcomes, bench.engine.asked) == (["refused"], [])


def test_whatever_goes_wrong_is_a_refusal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Settings:
        raise MemoryError("no room for the settings")

    monkeypatch.setattr(bench.reload, "_load", fails)
    assert bench.once()[-1]["error"] == "no room for the settings"
    assert bench.outcomes == ["refused"]


def test_a_process_of_less_priority_reloads_as_well(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.setpriority", refuse)
    bench.once()
    assert bench.outcomes == ["replaced"]


def test_before_there_are_models_the_state_says_so(bench: Bench) -> None:
    bench.engine.model = None
    assert bench.reload.state() == {"model": None, "revision": None, "reloading": False, "last": {}}


def test_a_request_while_one_goes_on_changes_nothing(bench: Bench) -> None:
    bench.engine.gate.clear()
    bench.reload.request()
    bench.reload.request()
    assert bench.reload.state()["reloading"] is True
    bench.engine.gate.set()
    bench.reload.close(WAIT_S)
    assert len(bench.engine.asked) == 1


@pytest.fixture
def port(bench: Bench) -> Iterator[int]:
    server = admin_server(0, bench.reload.routes())
    yield server.port
    server.close()


def test_the_admin_port_requests_a_reload_and_tells_its_state(bench: Bench, port: int) -> None:
    address = f"http://127.0.0.1:{port}/-/reload"
    with urllib.request.urlopen(urllib.request.Request(address, method="POST"), timeout=WAIT_S) as answer:
        assert (answer.status, json.load(answer)["model"]) == (202, "demo")
    bench.reload.close(WAIT_S)
    with urllib.request.urlopen(address, timeout=WAIT_S) as answer:
        assert json.load(answer) == bench.reload.state()
    assert bench.outcomes == ["replaced"]
