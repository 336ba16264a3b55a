from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumer.errors import UsageError
from consumer.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TINGXIE_")]:
        monkeypatch.delenv(name)


def test_defaults_need_nothing() -> None:
    settings = load_settings()
    assert settings.topics.uploads == "audio-uploaded"
    assert settings.topics.dead_letters == "audio-uploaded.dead-letter"
    assert settings.engine.model.startswith("iic/speech_paraformer-large")


def test_environment_wins_over_the_file_and_merges_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "tingxie.toml"
    config.write_text('[kafka]\ngroup_id = "file"\nbootstrap_servers = "file:1"\n[topics]\nuploads = "file-topic"\n')
    monkeypatch.setenv("TINGXIE_KAFKA__GROUP_ID", "environment")
    settings = load_settings(config)
    assert settings.kafka.group_id == "environment"
    assert settings.kafka.bootstrap_servers == "file:1"
    assert settings.topics.uploads == "file-topic"


def test_arguments_win_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_TELEMETRY__PORT", "1234")
    settings = load_settings(telemetry={"port": 0})
    assert settings.telemetry.port == 0


@pytest.mark.parametrize(
    ("text", "expected"), [("a,b", ("a", "b")), (" a , b ,", ("a", "b")), ('["a"]', ("a",)), ("", ())]
)
def test_allowed_buckets_are_a_list_with_commas(
    text: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINGXIE_STORAGE__ALLOWED_BUCKETS", text)
    assert load_settings().storage.allowed_buckets == expected


def test_a_broken_list_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_STORAGE__ALLOWED_BUCKETS", '["a"')
    with pytest.raises(UsageError, match=r"storage\.allowed_buckets"):
        load_settings()


def test_all_problems_are_reported_together_by_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_KAFFA__GROUP_ID", "typo in the section")
    monkeypatch.setenv("TINGXIE_KAFKA__GRUPPE", "typo in the name")
    monkeypatch.setenv("TINGXIE_ENGINE__BATCH_SECONDS", "-3")
    with pytest.raises(UsageError) as caught:
        load_settings()
    message = str(caught.value)
    for part in ("TINGXIE_KAFFA__GROUP_ID", "kafka.gruppe", "engine.batch_seconds (TINGXIE_ENGINE__BATCH_SECONDS)"):
        assert part in message


@pytest.mark.parametrize("text", ["not toml", "[kafka]\ngroup_id = 3", "kafka = 1"])
def test_a_broken_file_is_a_usage_error(text: str, tmp_path: Path) -> None:
    config = tmp_path / "tingxie.toml"
    config.write_text(text)
    with pytest.raises(UsageError):
        load_settings(config)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.toml")


def test_broken_json_names_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_KAFKA__PROPERTIES", "{nonsense")
    with pytest.raises(UsageError, match="kafka"):
        load_settings()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_STORAGE__SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("TINGXIE_KAFKA__PROPERTIES", '{"sasl.password": "hunter2"}')
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert settings.kafka.properties["sasl.password"] == "hunter2"
    monkeypatch.setenv("TINGXIE_STORAGE__READ_TIMEOUT_S", "hunter2")
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.passphrase",
    ],
)
def test_secrets_among_properties_are_masked_wherever_settings_are_shown(name: str) -> None:
    settings = load_settings(kafka={"properties": {name: "hunter2", "client.id": "me"}})
    kafka = settings.kafka
    shown = [repr(settings), str(kafka), repr(kafka.properties), f"{kafka.properties}", str(settings.model_dump())]
    shown += [settings.model_dump_json(), str(kafka.model_dump()), str(kafka.model_copy(update={"group_id": "x"}))]
    for text in shown:
        assert "hunter2" not in text
        assert "client.id" in text
    assert dict(kafka.properties) == {name: "hunter2", "client.id": "me"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TINGXIE_KAFKA__PROPERTIES", '{"sasl.password": "hunter2",}'),
        ("TINGXIE_KAFKA__PROPERTIES", "sasl.password=hunter2"),
        ("TINGXIE_KAFKA__PROPERTIES", '{"sasl.password": ["hunter2"]}'),
        ("TINGXIE_STORAGE__ENDPOINT_URL", "bob:hunter2@minio:9000"),
        ("TINGXIE_TELEMETRY__OTLP_ENDPOINT", "grpc://bob:hunter2@collector:4317"),
        ("TINGXIE_KAFKA__PROPERTIES", '["hunter2"]'),
        ("TINGXIE_KAFKA", "hunter2"),
        ("TINGXIE_STORAGE__SECRET_ACCES_KEY", "hunter2"),
        ("TINGXIE_STORAGE__ENDPOINT_URL", "https://me:hunter2@storage"),
    ],
)
def test_wrong_settings_are_named_without_their_secrets(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"(?i)kafka|storage|telemetry") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    monkeypatch.delenv(name)
    section, _, field = name.removeprefix("TINGXIE_").lower().partition("__")
    config = tmp_path / "tingxie.toml"
    config.write_text(f"[{section}]\n{field or 'x'} = '{value}'\n")
    with pytest.raises(UsageError) as caught:
        load_settings(config)
    assert "hunter2" not in str(caught.value)


def test_every_setting_is_described() -> None:
    undescribed = [
        f"{section}.{name}"
        for section, field in Settings.model_fields.items()
        for name, inner in field.annotation.model_fields.items()  # type: ignore[union-attr]
        if not inner.description
    ]
    assert undescribed == []
