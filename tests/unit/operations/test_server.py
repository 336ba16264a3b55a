from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from consumer.errors import UsageError
from consumer.operations.health import Health
from consumer.operations.metrics import Metrics
from consumer.operations.server import SmallServer, health_server


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def server(health: Health) -> Iterator[SmallServer]:
    server = health_server("127.0.0.1", 0, health, Metrics().registry)
    yield server
    server.close()


def get(server: SmallServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_get_a_status_and_one_line(server: SmallServer, health: Health) -> None:
    assert get(server, "/live") == (200, "ok\n")
    assert get(server, "/ready") == (503, "starting: the models are being loaded\n")
    health.started()
    health.joined()
    assert get(server, "/ready?verbose") == (200, "ok\n")
    health.stuck("thread engine has been in one round of work for 301 s")
    assert get(server, "/live") == (503, "thread engine has been in one round of work for 301 s\n")


def test_metrics_are_served_whatever_is_wrong(server: SmallServer, health: Health) -> None:
    health.stuck("the loop")
    status, text = get(server, "/metrics")
    assert status == 200
    assert "tingxie_build_info" in text


def test_other_paths_say_what_there_is(server: SmallServer) -> None:
    assert get(server, "/") == (404, "GET /live, GET /ready, GET /metrics\n")


def test_a_taken_port_is_a_usage_error(server: SmallServer, health: Health) -> None:
    with pytest.raises(UsageError, match=r"telemetry\.port"):
        health_server("127.0.0.1", server.port, health, Metrics().registry)
