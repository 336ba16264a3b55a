"""Values that the chart refuses, with the message; and the schema that refuses most of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from consumer.setting_types import SECRET
from consumer.settings import Settings
from tests.chart.rendering import CHART, MINIMAL, Helm

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
ALERTS: list[str] = [
    rule["alert"]
    for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
SCALED = {"enabled": True, "partitions": 8, "maxReplicas": 8}

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("typo", {"replica": 2}, "additional properties 'replica' not allowed"),
    ("typo below", {"gpu": {"enable": True}}, "additional properties 'enable' not allowed"),
    ("unknown setting", {"settings": {"limits": {"drain": 5}}}, "additional properties 'drain' not allowed"),
    ("unknown section", {"settings": {"kafak": {}}}, "additional properties 'kafak' not allowed"),
    ("setting out of range", {"settings": {"engine": {"batch_seconds": 0}}}, "/settings/engine/batch_seconds"),
    ("setting of another type", {"settings": {"limits": {"fetch_workers": "four"}}}, "/settings/limits/fetch_workers"),
    ("setting of the chart", {"settings": {"limits": {"spool_dir": "/x"}}}, "'spool_dir' not allowed"),
    ("no telemetry", {"settings": {"telemetry": {"port": 0}}}, "/settings/telemetry/port"),
    ("secret as a setting", {"settings": {"storage": {"secret_access_key": "x"}}}, "'secret_access_key' not allowed"),
    (
        "password as a property",
        {"settings": {"kafka": {"properties": {"sasl.password": "x"}}}},
        "settings.kafka.properties: sasl.password is a secret and would lie in a ConfigMap; put all properties as JSON",
    ),
    (
        "properties twice",
        {"settings": {"kafka": {"properties": {"a": "b"}}}, "credentials": {"kafkaProperties": {"secret": "kafka"}}},
        "put all properties into the Secret",
    ),
    (
        "secret in the environment",
        {"extraEnv": [{"name": "TINGXIE_STORAGE__SECRET_ACCESS_KEY", "value": "x"}]},
        "extraEnv: TINGXIE_STORAGE__SECRET_ACCESS_KEY would lie in the Deployment as plain text",
    ),
    (
        "no brokers",
        {"settings": {"kafka": {"bootstrap_servers": ""}}},
        "settings.kafka.bootstrap_servers is missing; set it to the brokers, host:port with commas",
    ),
    (
        "more consumers than partitions",
        {"autoscaling": {**SCALED, "maxReplicas": 9}},
        "autoscaling.maxReplicas: 9 consumers for 8 partitions, so 1 would have nothing to do; set at most 8",
    ),
    ("unknown partitions", {"autoscaling": {"enabled": True}}, "autoscaling.partitions is missing"),
    (
        "more at least than at most",
        {"autoscaling": {**SCALED, "maxReplicas": 2, "minReplicas": 3}},
        "autoscaling.minReplicas: 3 is more than maxReplicas, 2",
    ),
    (
        "grace too short",
        {"terminationGracePeriodSeconds": 60, "settings": {"limits": {"drain_seconds": 25}}},
        "terminationGracePeriodSeconds: 60 is too short: limits.drain_seconds and what comes after it take up to 73",
    ),
    (
        "spool too small",
        {"spool": {"sizeLimit": "8Gi"}},
        "spool.sizeLimit: 8Gi is too small: with these settings.limits audio in work takes up to 22Gi",
    ),
    ("spool without a unit", {"spool": {"sizeLimit": "32G"}}, "/spool/sizeLimit"),
    (
        "claim that cannot be shared",
        {"replicas": 2, "models": {"persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}}},
        "models.persistence.accessModes: up to 2 consumers share the claim, which takes ReadWriteMany",
    ),
    (
        "claim that a rollout cannot mount",
        {"models": {"persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}}},
        "set ReadWriteMany, or rollout.surge=false",
    ),
    ("GPU for the CPU", {"settings": {"engine": {"device": "cpu"}}}, "set gpu.enabled=false"),
    (
        "CPU for the GPU",
        {"gpu": {"enabled": False}, "settings": {"engine": {"device": "cuda"}}},
        "set gpu.enabled=true",
    ),
    ("unknown alert", {"prometheusRule": {"disabled": ["TingxieLag"]}}, "/prometheusRule/disabled/0"),
    ("digest that is none", {"image": {"digest": "latest"}}, "/image/digest"),
]


@pytest.mark.parametrize(("values", "message"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_values_that_cannot_work_are_refused(helm: Helm, values: dict[str, Any], message: str) -> None:
    done = helm.attempt(MINIMAL, values=values)
    assert done.returncode != 0
    assert message in done.stderr


def test_properties_that_are_secret_are_those_that_the_program_masks() -> None:
    template = (CHART / "templates" / "_checks.tpl").read_text()
    assert f"regexMatch {json.dumps(SECRET.pattern)} $name" in template


def test_values_that_just_work_are_taken(helm: Helm) -> None:
    helm.render(
        MINIMAL, values={"autoscaling": SCALED, "terminationGracePeriodSeconds": 73, "spool": {"sizeLimit": "22Gi"}}
    )


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object with named properties in a schema."""
    if "properties" in schema:
        yield path, schema
        for name, below in schema["properties"].items():
            yield from objects(below, f"{path}/{name}")


def test_no_object_takes_unknown_names() -> None:
    found = list(objects(SCHEMA))
    assert len(found) > 20
    assert [path for path, schema in found if schema["additionalProperties"] is not False] == []


def test_schema_and_values_have_the_same_names() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(schema: dict[str, Any], given: dict[str, Any], path: str) -> None:
        named = schema["properties"].keys() - {"global", "claims"}
        assert named >= given.keys(), path
        for name in named & given.keys():
            below = schema["properties"][name]
            if "properties" in below and path + name not in {"settings", "resources"}:
                assert below["properties"].keys() == given[name].keys(), path + name
                compare(below, given[name], f"{path}{name}.")

    assert values.keys() == SCHEMA["properties"].keys() - {"global"}
    compare(SCHEMA, values, "")
    assert values["settings"].keys() == Settings.model_fields.keys()


def test_every_value_is_explained() -> None:
    page = (CHART / "README.md").read_text()

    def undocumented(given: dict[str, Any], path: str) -> Iterator[str]:
        for name, value in given.items():
            if f"| `{path}{name}` |" in page:
                continue
            if isinstance(value, dict) and value:
                yield from undocumented(value, f"{path}{name}.")
            else:
                yield path + name

    assert list(undocumented(yaml.safe_load((CHART / "values.yaml").read_text()), "")) == []


def test_alerts_that_can_be_left_out_are_those_there_are() -> None:
    assert SCHEMA["properties"]["prometheusRule"]["properties"]["disabled"]["items"]["enum"] == ALERTS
