from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consumer.errors import CredentialsRefused, StorageUnavailable
from consumer.settings import StorageSettings
from consumer.storage.buckets import list_buckets
from tests.conftest import Topics
from tests.integration.shell import tingxie
from tests.servers import KafkaServer, VersityGateway
from tests.servers.collector import Collector
from tests.servers.process import free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def lines(out: str) -> list[tuple[str, str, str]]:
    """Mark, subject and detail of each line."""
    found = []
    for line in out.splitlines():
        mark, subject, detail = line.split(maxsplit=2)
        found.append((mark, subject, detail))
    return found


def marks(out: str) -> list[str]:
    return [f"{mark} {subject}" for mark, subject, _ in lines(out)]


@pytest.mark.model
def test_all_in_order(
    service_environment: dict[str, str], topics: Topics, bucket: str, bucket_server: VersityGateway
) -> None:
    environment = service_environment | {"TINGXIE_STORAGE__ALLOWED_BUCKETS": bucket}
    code, out, err = tingxie(environment, "check")
    assert (code, err) == (0, ""), out
    assert marks(out) == [
        "ok settings",
        "ok broker",
        *["ok topic"] * 3,
        "ok records",
        "ok group",
        "ok bucket",
        "ok spool",
        "ok decoder",
        "ok model",
    ]
    details = [detail for _, _, detail in lines(out)]
    assert "TINGXIE_STORAGE__SECRET_ACCESS_KEY" in details[0]
    assert bucket_server.secret_key not in out
    assert details[2] == f"{topics.uploads} exists; partitions: 4"
    assert "paraformer" in details[-1]
    assert "on cpu in float32" in details[-1]


def test_faults_are_all_named_with_what_to_do(
    kafka: KafkaServer, service_environment: dict[str, str], bucket: str, unique_name: Callable[[str], str]
) -> None:
    missing = unique_name("transcripts")
    environment = service_environment | {
        "TINGXIE_TOPICS__TRANSCRIPTS": missing,
        "TINGXIE_STORAGE__ALLOWED_BUCKETS": f"{bucket},not-there",
    }
    code, out, _ = tingxie(environment, "check", "--no-model")
    assert code == 1
    assert marks(out) == [
        "ok settings",
        "ok broker",
        "ok topic",
        "FAIL topic",
        "ok topic",
        "ok records",
        "ok group",
        "ok bucket",
        "FAIL bucket",
        "ok spool",
        "ok decoder",
        "skip model",
    ]
    assert f"{missing} does not exist; create it: tingxie check --create-topics" in out
    assert "bucket not-there: does not exist" in out

    code, out, _ = tingxie(environment, "check", "--no-model", "--create-topics", "--partitions", "3")
    assert code == 1  # the bucket is still missing
    assert f"{missing} created; partitions: 3" in out
    assert len(kafka.admin.list_topics(missing, timeout=20).topics[missing].partitions) == 3
    assert f"{missing} exists; partitions: 3" in tingxie(environment, "check", "--no-model")[1]


def test_nothing_can_be_reached(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {
        "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TINGXIE_KAFKA__STARTUP_TIMEOUT_S": "1",
        "TINGXIE_STORAGE__ENDPOINT_URL": "http://127.0.0.1:1",
        "TINGXIE_STORAGE__ACCESS_KEY_ID": "me",
        "TINGXIE_STORAGE__SECRET_ACCESS_KEY": "hush-hush",
        "TINGXIE_LIMITS__SPOOL_DIR": str(tmp_path / "file" / "spool"),
        "TINGXIE_ENGINE__MODEL": str(tmp_path),
        "TINGXIE_ENGINE__DEVICE": "cpu",
    }
    code, out, err = tingxie(environment, "check")
    assert (code, err) == (1, "")
    assert marks(out) == [
        "ok settings",
        "FAIL broker",
        *["skip topic"] * 5,
        "FAIL storage",
        "FAIL spool",
        "ok decoder",
        "FAIL model",
    ]
    assert "check kafka.bootstrap_servers" in out
    assert "check storage.endpoint_url" in out
    assert "hush-hush" not in out


def test_wrong_settings_are_a_fault(tmp_path: Path) -> None:
    config = tmp_path / "tingxie.toml"
    config.write_text('[storage]\nsecret_access_key = 7\nendpoint = "x"\n')
    code, out, _ = tingxie({}, "check", "--config", str(config))
    assert code == 1
    assert marks(out) == ["FAIL settings"]
    assert "storage.endpoint" in out
    assert "storage.secret_access_key" in out


def test_the_bucket_for_transcripts_is_looked_at(service_environment: dict[str, str], bucket: str) -> None:
    environment = service_environment | {"TINGXIE_LIMITS__TRANSCRIPT_BYTES": "20000"}
    code, out, _ = tingxie(environment | {"TINGXIE_STORAGE__TRANSCRIPT_BUCKET": bucket}, "check", "--no-model")
    assert code == 0
    assert f"{bucket} can be reached" in out
    assert "above 20,000 bytes" in out
    code, out, _ = tingxie(environment | {"TINGXIE_STORAGE__TRANSCRIPT_BUCKET": "not-there"}, "check", "--no-model")
    assert code == 1
    assert "FAIL bucket" in marks(out)
    assert "storage.transcript_bucket" in out


def test_without_allowed_buckets_the_storage_is_asked_for_all(service_environment: dict[str, str], bucket: str) -> None:
    assert bucket
    code, out, _ = tingxie(service_environment, "check", "--no-model")
    assert code == 0
    assert "ok storage" in marks(out)
    assert "buckets: 1;" in out


def storage(server: VersityGateway, secret: str | None = None) -> StorageSettings:
    return StorageSettings.model_validate(
        {
            "endpoint_url": server.endpoint_url,
            "path_style": True,
            "access_key_id": server.access_key,
            "secret_access_key": secret or server.secret_key,
        }
    )


def test_buckets_are_listed(bucket_server: VersityGateway, bucket: str, s3: Callable[..., S3Client]) -> None:
    s3(bucket_server.endpoint_url).create_bucket(Bucket="another")
    assert sorted(list_buckets(storage(bucket_server))) == sorted(["another", bucket])


def test_wrong_credentials_list_nothing(bucket_server: VersityGateway) -> None:
    with pytest.raises(CredentialsRefused):
        list_buckets(storage(bucket_server, secret="wrong"))


def test_no_storage_lists_nothing() -> None:
    with pytest.raises(StorageUnavailable):
        list_buckets(
            StorageSettings.model_validate(
                {"endpoint_url": "http://127.0.0.1:1", "access_key_id": "me", "secret_access_key": "hush"}
            )
        )


def test_a_collector_of_traces_is_asked(service_environment: dict[str, str], otel_collector: Collector) -> None:
    (closed,) = free_ports(1)
    traced = service_environment | {"TINGXIE_TELEMETRY__TRACES": "otlp"}
    for endpoint, expected_mark, says in (
        (otel_collector.endpoint_url, "ok", "takes traces"),
        (f"{otel_collector.endpoint_url}/elsewhere", "FAIL", "404"),
        (f"http://127.0.0.1:{closed}", "FAIL", "refused"),
    ):
        _, out, _ = tingxie(traced | {"TINGXIE_TELEMETRY__OTLP_ENDPOINT": endpoint}, "check", "--no-model")
        ((mark, detail),) = [(mark, detail) for mark, subject, detail in lines(out) if subject == "traces"]
        assert mark == expected_mark
        assert detail.startswith(f"{endpoint}/v1/traces ")
        assert says in detail
