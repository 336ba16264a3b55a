"""Alerts and dashboard: what they ask for exists, and the alerts fire when they should."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.operations.metrics import Described, Metrics
from tests.chart.rendering import CHART, MINIMAL, Helm, one

ALERTS, TESTS = CHART / "files" / "alerts.yaml", Path(__file__).with_name("alerts.test.yaml")
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
SAMPLES: dict[str, Described] = {
    described.name + suffix: described
    for described in Metrics().described()
    for suffix in (("_bucket", "_sum", "_count") if described.kind == "histogram" else ("",))
}
FROM_SCRAPE = {"job", "instance", "namespace"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Every query there is, with where it stands."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


@pytest.mark.parametrize(("query"), [pytest.param(query, id=place) for place, query in queries()])
def test_a_query_names_metrics_and_labels_that_exist(query: str) -> None:
    named = set(re.findall(r"\btingxie_\w+", query))
    assert named
    assert named <= SAMPLES.keys()
    known = {label for name in named for label in SAMPLES[name].labels} | FROM_SCRAPE
    if any(name.endswith("_bucket") for name in named):
        known.add("le")
    selected = {
        label for labels in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)\s*[=!]~?", labels)
    }
    assert selected | grouped(query) <= known


def grouped(query: str) -> set[str]:
    """Labels that aggregations keep."""
    return {label for labels in re.findall(r"\bby \(([^)]*)\)", query) for label in labels.split(", ")}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_legend_names_what_the_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped(target["expr"])


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(query for _, query in queries())
    assert [each.name for each in Metrics().described() if each.name not in shown] == []


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_alerts_that_panels_name_exist() -> None:
    named = set(re.findall(r"\bTingxie\w+", json.dumps(DASHBOARD)))
    assert named == {rule["alert"] for rule in RULES}


def run(promtool: Path, *arguments: str | Path) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_alerts(promtool: Path) -> None:
    run(promtool, "check", "rules", ALERTS)


def test_prometheus_takes_the_queries_of_the_dashboard(promtool: Path, tmp_path: Path) -> None:
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    rules = [
        {"record": f"dashboard:{number}", "expr": each.replace("$__rate_interval", "5m")}
        for number, each in enumerate(expressions)
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", file)


def test_alerts_fire_when_they_should(promtool: Path) -> None:
    run(promtool, "test", "rules", TESTS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_that_never_fires_fails_the_tests(promtool: Path, tmp_path: Path, rule: dict[str, Any]) -> None:
    groups = yaml.safe_load(ALERTS.read_text())
    for each in groups["groups"][0]["rules"]:
        if each["alert"] == rule["alert"]:
            each["expr"] = f"({each['expr']}) and vector(1) < 0"
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(groups))
    tests = yaml.safe_load(TESTS.read_text()) | {"rule_files": ["alerts.yaml"]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests))
    done = subprocess.run([promtool, "test", "rules", tmp_path / "test.yaml"], capture_output=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert f"| `{rule['alert']}` |" in (CHART.parents[1] / "docs" / "operations.md").read_text()


def test_the_operator_gets_the_same_alerts(helm: Helm) -> None:
    left_out = RULES[0]["alert"]
    values = {"prometheusRule": {"enabled": True, "disabled": [left_out], "extraRules": [{"record": "a", "expr": "1"}]}}
    own, extra = one(helm.render(MINIMAL, values=values), "PrometheusRule")["spec"]["groups"]
    assert own["rules"] == RULES[1:]
    assert extra == {"name": "extra", "rules": [{"record": "a", "expr": "1"}]}


def test_grafana_gets_the_same_dashboard(helm: Helm) -> None:
    manifests = helm.render(MINIMAL, values={"dashboard": {"enabled": True}})
    (config,) = [each for each in manifests if each["metadata"]["name"] == "release-tingxie-dashboard"]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["tingxie.json"]) == DASHBOARD
