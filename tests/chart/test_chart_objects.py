"""What the chart renders to: real objects of Kubernetes, that say what the program needs."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from consumer.app import CLOSE_TIMEOUT_S
from consumer.kafka.retries import all_topics
from consumer.kafka.source import LEAVE_S
from consumer.operations.tracing import FLUSH_S
from consumer.operations.watchdog import GRACE_S, WRITE_S
from consumer.pipeline.service import SETTLE_S
from consumer.settings import Settings, load_settings
from tests.chart.rendering import CHART, EXAMPLES, MINIMAL, Helm, Manifest, consumer_of, one, pod_of

FULL, SCALED, CPU = (CHART / "ci" / f"{name}-values.yaml" for name in ("full", "scaled", "cpu"))
OPERATORS = {"ScaledObject", "PodMonitor", "PrometheusRule"}
"""Kinds that operators bring; Kubernetes' own schemas do not know them."""
OLDEST = re.findall(r"\d+\.\d+", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"])[0]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_lint_finds_nothing(helm: Helm, example: Path) -> None:
    done = helm.attempt(example, command="lint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_objects_are_what_kubernetes_takes(helm: Helm, example: Path, version: str) -> None:
    manifests = helm.render(example)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)
    for manifest in manifests:
        if manifest["kind"] not in OPERATORS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_refuse_what_is_wrong(helm: Helm) -> None:
    deployment = one(helm.render(MINIMAL), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livnessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livnessProbe"):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_program_reads_the_settings_as_they_were_given(
    helm: Helm, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = helm.render(example)
    settings = settings_of(manifests, monkeypatch)

    given = yaml.safe_load(example.read_text())["settings"]
    for section, names in given.items():
        for name, value in names.items():
            read = getattr(getattr(settings, section), name)
            assert (list(read) if isinstance(read, tuple) else read) == value, f"{section}.{name}"
    assert settings.limits.spool_dir == Path("/spool")
    (port,) = consumer_of(manifests)["ports"]
    assert port["containerPort"] == settings.telemetry.port


def settings_of(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What `tingxie run` in the pod would read from the ConfigMap."""
    name = consumer_of(manifests)["envFrom"][0]["configMapRef"]["name"]
    (data,) = [each["data"] for each in manifests if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name]
    for variable, value in data.items():
        monkeypatch.setenv(variable, value)
    return load_settings()


def test_defaults_that_the_chart_reckons_with_are_those_of_the_program() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    reckoned = re.findall(r'"name" "(\w+)\.(\w+)" "default" (\(.+?\)|"[^"]+"|[\d.]+)', text)
    assert len(reckoned) >= 12
    for section, name, default in reckoned:
        expected = getattr(getattr(Settings(), section), name)
        known = tuple(re.findall(r'"([^"]+)"', default)) if default.startswith("(") else json.loads(default)
        assert known == expected, f"{section}.{name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_grace_period_outlasts_the_drain_and_the_watchdog(
    helm: Helm, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = helm.render(example)
    drain_s = settings_of(manifests, monkeypatch).limits.drain_seconds
    least_s = drain_s + SETTLE_S + LEAVE_S + CLOSE_TIMEOUT_S + FLUSH_S + GRACE_S + WRITE_S
    assert pod_of(manifests)["terminationGracePeriodSeconds"] >= least_s


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_start_is_given_the_time_that_the_program_gives_itself(
    helm: Helm, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = helm.render(example)
    settings, consumer = settings_of(manifests, monkeypatch), consumer_of(manifests)
    allowed_s = settings.engine.load_seconds + settings.limits.stall_seconds
    startup = consumer["startupProbe"]
    assert startup["httpGet"] == {"path": "/ready", "port": "telemetry"}
    assert allowed_s < startup["failureThreshold"] * startup["periodSeconds"] < allowed_s + 60
    assert one(manifests, "Deployment")["spec"]["progressDeadlineSeconds"] > allowed_s
    assert consumer["livenessProbe"]["httpGet"]["path"] == "/live"
    assert consumer["readinessProbe"]["httpGet"]["path"] == "/ready"
    # A stuck process logs why, and ends by itself.
    liveness = consumer["livenessProbe"]
    assert liveness["failureThreshold"] * liveness["periodSeconds"] > GRACE_S + WRITE_S


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_nothing_is_privileged(helm: Helm, example: Path) -> None:
    pod = pod_of(helm.render(example))
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    ours = [each for each in (*pod["containers"], *pod.get("initContainers", [])) if each["name"] != "wait"]
    for container in ours:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_contexts_are_merged_over_the_chart_s(helm: Helm) -> None:
    pod = pod_of(helm.render(FULL))
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (20000, 10001)
    assert pod["containers"][0]["securityContext"]["seLinuxOptions"] == {"type": "container_t"}


def test_what_the_image_writes_to_is_mounted_with_a_limit(helm: Helm) -> None:
    manifests = helm.render(MINIMAL)
    pod, consumer = pod_of(manifests), consumer_of(manifests)
    mounted = {mount["mountPath"] for mount in consumer["volumeMounts"]}
    declared = re.findall(r'"(/\w+)"', re.findall(r"^VOLUME .+$", dockerfile(), re.MULTILINE)[0])
    assert mounted == {*declared, "/tmp"}
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"])
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}\n" in dockerfile()


def dockerfile() -> str:
    return (CHART.parents[1] / "Dockerfile").read_text()


@pytest.mark.parametrize(("surge", "expected"), [(True, (1, 0)), (False, (0, 1))])
def test_a_rollout_takes_a_gpu_more_or_none(helm: Helm, expected: tuple[int, int], *, surge: bool) -> None:
    deployment = one(helm.render(MINIMAL, values={"rollout": {"surge": surge}}), "Deployment")
    rolling = deployment["spec"]["strategy"]["rollingUpdate"]
    assert (rolling["maxSurge"], rolling["maxUnavailable"]) == expected


def test_a_changed_setting_rolls_the_pods_out(helm: Helm) -> None:
    def checksum(values: dict[str, Any]) -> str:
        template = one(helm.render(MINIMAL, values=values), "Deployment")["spec"]["template"]
        found = template["metadata"]["annotations"]["checksum/settings"]
        assert isinstance(found, str)
        return found

    assert checksum({}) == checksum({"podLabels": {"a": "b"}})
    assert checksum({}) != checksum({"settings": {"kafka": {"group_id": "other"}}})


@pytest.mark.parametrize(("example", "gpu"), [(MINIMAL, "nvidia.com/gpu"), (FULL, "nvidia.com/mig-1g.10gb"), (CPU, "")])
def test_one_gpu_or_none(helm: Helm, example: Path, gpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = helm.render(example)
    resources = consumer_of(manifests)["resources"]
    asked = {name: count for name, count in resources["limits"].items() if "/" in name}
    assert asked == ({gpu: 1} if gpu else {})
    assert resources["limits"]["memory"]
    assert settings_of(manifests, monkeypatch).engine.device == ("cuda" if gpu else "cpu")


def test_secrets_are_named_and_never_made(helm: Helm) -> None:
    values = {
        "credentials": {
            "storage": {"secret": "bucket"},
            "kafkaProperties": {"secret": "kafka"},
            "environment": ["more"],
        }
    }
    manifests = helm.render(MINIMAL, values=values)
    consumer = consumer_of(manifests)
    named = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in consumer["env"]}
    assert named == {
        "TINGXIE_STORAGE__ACCESS_KEY_ID": {"name": "bucket", "key": "access-key-id"},
        "TINGXIE_STORAGE__SECRET_ACCESS_KEY": {"name": "bucket", "key": "secret-access-key"},
        "TINGXIE_KAFKA__PROPERTIES": {"name": "kafka", "key": "properties.json"},
    }
    assert consumer["envFrom"][1] == {"secretRef": {"name": "more"}}
    assert "Secret" not in {manifest["kind"] for manifest in manifests}


@pytest.mark.parametrize("example", [SCALED, FULL], ids=["scaled", "full"])
def test_scaling_looks_at_every_topic_the_group_reads(
    helm: Helm, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = helm.render(example)
    settings, scaled = settings_of(manifests, monkeypatch), one(manifests, "ScaledObject")["spec"]
    triggers = [trigger["metadata"] for trigger in scaled["triggers"]]
    written = {settings.topics.transcripts, settings.topics.dead_letters}
    assert {each["topic"] for each in triggers} == set(all_topics(settings)) - written
    assert {each["consumerGroup"] for each in triggers} == {settings.kafka.group_id}
    assert {each["bootstrapServers"] for each in triggers} == {settings.kafka.bootstrap_servers}
    assert all(isinstance(value, str) for each in triggers for value in each.values())
    assert scaled["scaleTargetRef"]["name"] == one(manifests, "Deployment")["metadata"]["name"]
    assert "replicas" not in one(manifests, "Deployment")["spec"]


def test_by_default_no_operator_is_needed(helm: Helm) -> None:
    kinds = sorted(manifest["kind"] for manifest in helm.render(MINIMAL))
    assert kinds == ["ConfigMap", "Deployment", "PodDisruptionBudget", "ServiceAccount"]


def test_everything_can_be_turned_on(helm: Helm) -> None:
    kinds = {manifest["kind"] for manifest in helm.render(FULL)}
    assert kinds == OPERATORS | {
        *("ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget", "ServiceAccount")
    }


def test_what_selects_pods_selects_these(helm: Helm) -> None:
    manifests = helm.render(FULL)
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one(manifests, "Deployment")["spec"]["selector"],
        one(manifests, "PodDisruptionBudget")["spec"]["selector"],
        one(manifests, "PodMonitor")["spec"]["selector"],
        one(manifests, "NetworkPolicy")["spec"]["podSelector"],
    ]
    for selector in selectors:
        assert selector["matchLabels"].items() <= labels.items()


def test_nothing_but_scrapes_comes_in_and_no_more_than_needed_goes_out(helm: Helm) -> None:
    policy = one(helm.render(FULL), "NetworkPolicy")["spec"]
    (ingress,) = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == ["telemetry"]
    assert ingress["from"]
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 443, 9092, 9093, 4318]


@pytest.mark.parametrize(
    ("settings", "added"),
    [
        ({"telemetry": {"traces": "otlp"}}, [4318]),
        ({"telemetry": {"traces": "otlp", "otlp_endpoint": "http://collector:14318/otlp"}}, [14318]),
        ({"telemetry": {"traces": "otlp", "otlp_endpoint": "http://collector"}}, [80]),
        ({"telemetry": {"traces": "otlp", "otlp_endpoint": "https://c/"}}, [443]),
        ({"telemetry": {"otlp_endpoint": "https://c/"}}, []),
        ({"kafka": {"bootstrap_servers": "one:9094, two:19094,[::1]:9092"}}, [9094, 19094]),
        ({"storage": {"endpoint_url": "http://bucket:9000"}}, [9000]),
        ({"storage": {"endpoint_url": "https://bucket"}}, [443]),
    ],
    ids=str,
)
def test_consumers_may_reach_what_their_settings_name(
    helm: Helm, settings: dict[str, dict[str, str]], added: list[int]
) -> None:
    values = {"networkPolicy": {"enabled": True, "egressPorts": [9092]}, "settings": settings}
    policy = one(helm.render(MINIMAL, values=values), "NetworkPolicy")
    assert [each["port"] for each in policy["spec"]["egress"][-1]["ports"]] == [9092, *added]


def test_the_claim_is_made_named_or_left_out(helm: Helm) -> None:
    def models(persistence: dict[str, Any]) -> tuple[bool, Any]:
        manifests = helm.render(MINIMAL, values={"models": {"persistence": persistence}})
        (volume,) = [each for each in pod_of(manifests)["volumes"] if each["name"] == "models"]
        made = any(manifest["kind"] == "PersistentVolumeClaim" for manifest in manifests)
        return made, volume.get("persistentVolumeClaim")

    assert models({"enabled": True}) == (True, {"claimName": "release-tingxie-models"})
    assert models({"enabled": True, "existingClaim": "mine"}) == (False, {"claimName": "mine"})
    assert models({"enabled": False}) == (False, None)


def test_models_are_downloaded_with_the_settings_of_the_consumer(helm: Helm) -> None:
    manifests = helm.render(FULL)
    wait, download = pod_of(manifests)["initContainers"]
    assert wait["name"] == "wait"
    assert download["command"] == ["python", "-m", "consumer.engine.download"]
    assert download["envFrom"] == consumer_of(manifests)["envFrom"]
    assert {"name": "models", "mountPath": "/models"} in download["volumeMounts"]
    assert "nvidia.com/gpu" not in download["resources"]["limits"]


def test_extra_manifests_are_templates(helm: Helm) -> None:
    (extra,) = [each for each in helm.render(FULL) if each["metadata"]["name"] == "calls-extra"]
    assert extra["data"] == {"release": "release"}


def test_names_that_look_like_numbers_stay_names(helm: Helm) -> None:
    secrets = {"storage": {"secret": "1"}, "kafkaProperties": {"secret": "2"}, "environment": ["3"]}
    values = {
        "fullnameOverride": "4",
        "nameOverride": "5",
        "image": {"repository": "6", "tag": "7", "pullSecrets": ["8"]},
        "models": {"persistence": {"enabled": True, "existingClaim": "9"}},
        "serviceAccount": {"name": "10"},
        "priorityClassName": "11",
        "gpu": {"runtimeClassName": "12"},
        "credentials": secrets,
    }
    for manifest in helm.render(MINIMAL, values=values):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_large_numbers_stay_whole(helm: Helm) -> None:
    limits = {"in_flight_bytes": 2**40 + 1, "fetch_seconds": 0.5}
    scaled = {"enabled": True, "partitions": 4, "lagThreshold": 5_000_000, "cooldownPeriod": 1_000_000}
    values = {"settings": {"limits": limits}, "spool": {"sizeLimit": "2Ti"}, "autoscaling": scaled}
    manifests = helm.render(MINIMAL, values=values)
    data = one(manifests, "ConfigMap")["data"]
    scaler = one(manifests, "ScaledObject")["spec"]
    assert scaler["triggers"][0]["metadata"]["lagThreshold"] == "5000000"
    assert scaler["cooldownPeriod"] == 1_000_000
    assert data["TINGXIE_LIMITS__IN_FLIGHT_BYTES"] == str(2**40 + 1)
    assert data["TINGXIE_LIMITS__FETCH_SECONDS"] == "0.5"


def test_the_spool_holds_what_the_limits_admit() -> None:
    limits = Settings().limits
    audio_s = limits.in_flight_audio_seconds + limits.decode_workers * limits.audio_seconds
    most = limits.in_flight_bytes + limits.fetch_workers * limits.object_bytes + 32_000 * audio_s
    default = yaml.safe_load((CHART / "values.yaml").read_text())["spool"]["sizeLimit"]
    assert math.ceil(most / 2**30) <= int(default.removesuffix("Gi"))
