"""docker-compose.yml, as far as it can be judged without a container engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.commands.check_kafka import HEADERS_BYTES
from consumer.kafka.admin import DEFAULT_LARGEST_RECORD
from consumer.kafka.retries import all_topics, retry_topics
from consumer.settings import Settings, load_settings
from tests.servers import VersityGateway, kafka, versitygw

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
CONSUMERS = ("consumer", "consumer-gpu")


@pytest.fixture
def loaded(compose_loader: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The file as ``docker compose`` understands it, with the defaults of its variables."""
    for name in re.findall(r"\$\{(\w+)", TEXT):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        [compose_loader, "-format", "json", "docker-compose.yml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_every_variable_of_the_program_is_a_setting() -> None:
    known = {
        f"TINGXIE_{section}__{name}".upper()
        for section, field in Settings.model_fields.items()
        for name in getattr(field.annotation, "model_fields", ())
    }
    for name in CONSUMERS:
        used = {variable for variable in SERVICES[name]["environment"] if variable.startswith("TINGXIE_")}
        assert used
        assert used <= known


@pytest.mark.parametrize("name", SERVICES)
def test_waits_for_services_that_can_reach_the_state_waited_for(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", SERVICES)
def test_gives_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    # Kafka writes its configuration at the start.
    assert service.get("read_only", False) is (name != "kafka")


@pytest.mark.parametrize("name", SERVICES)
def test_opens_ports_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_volumes_are_declared_and_used() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(FILE["volumes"])


def test_files_are_mounted_from_here_and_all_are_used() -> None:
    """As text they could not be: compose writes that into the container, and cannot where it is read-only."""
    for config in FILE["configs"].values():
        assert (ROOT / config["file"]).is_file()
    mounted = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}
    assert mounted == set(FILE["configs"])


def test_images_have_versions() -> None:
    images = {service["image"] for service in SERVICES.values() if "build" not in service}
    assert [image for image in images if not re.search(r":v?\d+[.]\d+[.]\d+$", image)] == []


def test_versions_are_those_the_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == SERVICES["topics"]["image"] == f"apache/kafka:{kafka.VERSION}"
    assert SERVICES["bucket"]["image"] == f"versity/versitygw:v{versitygw.VERSION}"


def test_cpu_is_the_default_and_the_gpu_is_asked_for() -> None:
    cpu, gpu = (SERVICES[name] for name in CONSUMERS)

    assert "profiles" not in cpu
    assert cpu["environment"]["TINGXIE_ENGINE__DEVICE"] == "cpu"
    assert gpu["profiles"] == ["gpu"]
    assert gpu["environment"]["TINGXIE_ENGINE__DEVICE"] == "cuda"
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_image_and_compose_name_the_same_volumes() -> None:
    (declared,) = re.findall(r"^VOLUME (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name in CONSUMERS:
        assert {volume.split(":")[1] for volume in SERVICES[name]["volumes"]} == set(json.loads(declared))


@pytest.mark.integration
def test_is_accepted_by_the_loader_of_docker_compose(loaded: dict[str, Any]) -> None:
    assert set(loaded["services"]) == set(SERVICES)


@pytest.mark.integration
@pytest.mark.parametrize("name", CONSUMERS)
def test_settings_fit_the_other_services(name: str, loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    services = loaded["services"]
    for variable, value in services[name]["environment"].items():
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)
    settings = load_settings()

    created = re.findall(r"--topic (\S+)", services["topics"]["command"][0])
    assert sorted(created) == sorted(all_topics(settings))
    roomy = re.findall(r"--topic (\S+).* max\.message\.bytes=(\d+)", services["topics"]["command"][0])
    passed_on = [settings.topics.dead_letters, *retry_topics(settings).names]
    assert sorted(roomy) == sorted((name, str(DEFAULT_LARGEST_RECORD + HEADERS_BYTES)) for name in passed_on)
    gateway = services["bucket"]
    flags = dict(flag.removeprefix("--").split("=") for flag in gateway["command"] if flag.startswith("--"))
    assert flags["event-kafka-topic"] == settings.topics.uploads
    assert flags["event-kafka-url"] == settings.kafka.bootstrap_servers
    broker = services["kafka"]["environment"]
    assert f"INSIDE://{settings.kafka.bootstrap_servers}" in broker["KAFKA_ADVERTISED_LISTENERS"]
    assert settings.storage.endpoint_url == f"http://bucket{flags['port']}"
    assert settings.storage.region == flags["region"]
    assert settings.storage.path_style
    assert settings.storage.access_key_id == gateway["environment"]["ROOT_ACCESS_KEY"]
    assert settings.storage.secret_access_key is not None
    assert settings.storage.secret_access_key.get_secret_value() == gateway["environment"]["ROOT_SECRET_KEY"]
    (bucket,) = settings.storage.allowed_buckets
    assert f'create_bucket(Bucket="{bucket}")' in services["create-bucket"]["command"][0]
    grace = re.fullmatch(r"(\d+)s", services[name]["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) > settings.limits.drain_seconds


@pytest.mark.integration
def test_gateway_knows_its_flags(bucket_server: VersityGateway) -> None:
    program = versitygw.install()
    described = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"--[a-z-]+", described))
    used = {flag.split("=")[0] for flag in SERVICES["bucket"]["command"] if flag.startswith("--")}

    assert used <= known
    assert json.loads((ROOT / FILE["configs"]["bucket-events"]["file"]).read_text()) == bucket_server.events


@pytest.mark.integration
def test_bucket_is_created_once(bucket_server: VersityGateway, s3: Any) -> None:
    script = SERVICES["create-bucket"]["command"][0]
    environment = {
        "AWS_ACCESS_KEY_ID": bucket_server.access_key,
        "AWS_SECRET_ACCESS_KEY": bucket_server.secret_key,
        "AWS_ENDPOINT_URL_S3": bucket_server.endpoint_url,
        "AWS_DEFAULT_REGION": SERVICES["create-bucket"]["environment"]["AWS_DEFAULT_REGION"],
    }
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)

    assert [one["Name"] for one in s3(bucket_server.endpoint_url).list_buckets()["Buckets"]] == ["audio-in"]
