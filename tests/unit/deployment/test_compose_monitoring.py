"""What docker-compose.yml gives to Prometheus and Grafana fits together, and Prometheus takes it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.prometheus import Prometheus

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
CHART_FILES = ROOT / "helm" / "tingxie" / "files"
SCRAPED = "consumer:9464"
BEGUN_S = 60.0


def mounts(service: str) -> dict[Path, Path]:
    """Files that a container gets, by where it finds them."""
    configs = SERVICES[service]["configs"]
    return {Path(each["target"]): ROOT / FILE["configs"][each["source"]]["file"] for each in configs}


def in_grafana(folder: str) -> dict[str, Any]:
    """The one file that Grafana finds in a folder of its provisioning."""
    (file,) = (here for there, here in mounts("grafana").items() if there.match(f"provisioning/{folder}/*.yaml"))
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """A folder in which the files lie as Prometheus' container has them."""
    for there, here in mounts("prometheus").items():
        place = tmp_path / there.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(here)
    return tmp_path


def test_the_chart_is_the_only_source_of_alerts_and_dashboard() -> None:
    assert CHART_FILES / "alerts.yaml" in mounts("prometheus").values()
    assert CHART_FILES / "dashboard.json" in mounts("grafana").values()


def test_both_consumers_are_scraped_where_they_answer() -> None:
    name, port = SCRAPED.split(":")
    assert name in SERVICES
    assert name in SERVICES["consumer-gpu"]["networks"]["default"]["aliases"]
    assert f"TINGXIE_TELEMETRY__PORT={port}" in (ROOT / "Dockerfile").read_text()
    for service in ("consumer", "consumer-gpu"):
        assert [each.split(":")[-1] for each in SERVICES[service]["ports"]] == [port]


def test_grafana_asks_this_prometheus_as_often_as_it_scrapes() -> None:
    (source,) = in_grafana("datasources")["datasources"]
    config = yaml.safe_load((ROOT / "compose" / "prometheus.yml").read_text())

    port = SERVICES["prometheus"]["ports"][0].split(":")[-1]
    assert source["url"] == f"http://prometheus:{port}"
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    dashboard = json.loads((CHART_FILES / "dashboard.json").read_text())
    (variable,) = (each for each in dashboard["templating"]["list"] if each["type"] == "datasource")
    assert source["type"] == variable["query"]


def test_grafana_finds_the_dashboard() -> None:
    (place,) = (there for there, here in mounts("grafana").items() if here.suffix == ".json")
    (provider,) = in_grafana("dashboards")["providers"]
    assert provider["options"]["path"] == str(place.parent)
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == str(place)


def test_nobody_can_log_in_to_grafana_and_everybody_only_looks() -> None:
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_AUTH_BASIC_ENABLED"] == "false"
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert SERVICES["kafka-ui"]["environment"]["KAFKA_CLUSTERS_0_READONLY"] == "true"


@pytest.mark.parametrize("service", ["grafana", "prometheus", "kafka-ui"])
def test_the_pages_are_where_the_head_of_the_file_says(service: str) -> None:
    (published,) = SERVICES[service]["ports"]
    match = re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-(\d+)\}:(\d+)", published)
    assert match is not None
    assert f"#   http://localhost:{match[1]} " in TEXT
    assert f"http://127.0.0.1:{match[2]}/" in SERVICES[service]["healthcheck"]["test"][-1]


@pytest.mark.integration
def test_promtool_takes_the_files(promtool: Path, container: Path) -> None:
    config = container / "etc" / "prometheus" / "prometheus.yml"
    done = subprocess.run([promtool, "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration
@pytest.mark.usefixtures("promtool")  # Prometheus comes with it
def test_prometheus_scrapes_the_consumer_and_evaluates_the_alerts(container: Path) -> None:
    alerts = {each["alert"] for each in yaml.safe_load((CHART_FILES / "alerts.yaml").read_text())["groups"][0]["rules"]}
    with Prometheus(container / "etc" / "prometheus" / "prometheus.yml") as prometheus:
        # Targets are looked up every few seconds, and rules evaluated from somewhere within their interval on.
        prometheus.process.wait_until(lambda: bool(prometheus.targets()), BEGUN_S)
        assert prometheus.targets() == {f"http://{SCRAPED}/metrics": "tingxie"}
        prometheus.process.wait_until(lambda: prometheus.alerts() == alerts, BEGUN_S)
