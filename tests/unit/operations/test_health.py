from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from consumer.errors import UsageError
from consumer.operations import health as health_module
from consumer.operations.health import Health, HealthServer
from consumer.operations.metrics import Metrics


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    server = HealthServer("127.0.0.1", 0, health, Metrics().registry)
    yield server
    server.close()


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_ready_means_started_assigned_and_not_stopping(server: HealthServer, health: Health) -> None:
    assert get(server, "/ready") == (503, "starting: the model is being loaded\n")
    health.turned()
    assert get(server, "/ready") == (503, "no partition assigned\n")
    health.assigned(3)
    assert get(server, "/ready") == (200, "ok\n")
    health.assigned(0)
    assert get(server, "/ready")[0] == 503


def test_a_loop_that_stands_still_is_not_live(
    server: HealthServer, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "LOOP_DEADLINE_S", -1.0)
    assert get(server, "/live") == (200, "ok\n"), "loading a model takes as long as it takes"
    health.turned()
    status, text = get(server, "/live")
    assert status == 503
    assert "has not turned" in text


def test_metrics_are_served(server: HealthServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 200
    assert "tingxie_build_info" in text


def test_other_paths_say_what_there_is(server: HealthServer) -> None:
    assert get(server, "/") == (404, "/live /ready /metrics\n")


def test_a_taken_port_is_a_usage_error(server: HealthServer, health: Health) -> None:
    with pytest.raises(UsageError, match=r"telemetry\.port"):
        HealthServer("127.0.0.1", server.port, health, Metrics().registry)
