from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer import cli

runner = CliRunner()
COMMANDS = ("run", "demo", "transcribe", "watch", "replay", "dead-letters", "check", "version")
SUBCOMMANDS = tuple(f"dead-letters {name}" for name in ("list", "show", "redrive", "export"))
HEAVY = ("torch", "funasr", "numpy", "boto3", "confluent_kafka", "av", "pydantic_settings", "structlog")


@pytest.fixture
def tingxie() -> list[str]:
    return [sys.executable, "-m", "consumer"]


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS])
def test_each_command_explains_itself_with_examples(command: str) -> None:
    for words in ([*command.split(), "--help"], [*command.split(), "-h"]):
        result = runner.invoke(cli.app, words)
        assert result.exit_code == 0
        assert f"tingxie {command}" in result.stdout.split("Examples")[1]
        assert result.stderr == ""


def test_help_names_all_commands() -> None:
    result = runner.invoke(cli.app, ["--help"])
    assert all(command in result.stdout for command in COMMANDS)
    assert "--install-completion" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["version", "--nope"],
        ["transcribe"],
        ["transcribe", "a.wav", "--format", "docx"],
        ["watch", "--limit", "0"],
        ["dead-letters", "redrive", "--most", "0"],
        ["dead-letters", "list", "--since", "yesterday"],
        ["replay", "--rate", "0"],
        ["replay", "--ids", "missing.txt"],
        ["check", "--create-topics", "--partitions", "0"],
        ["--config", "missing.toml", "check"],
        ["check", "--config", "missing.toml"],
    ],
)
def test_wrong_usage_ends_with_2_and_says_so_on_stderr(words: list[str]) -> None:
    result = runner.invoke(cli.app, words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["watch", "--from-beginning", "--since", "2026-11-23"], "--from-beginning and --since exclude each other"),
        (["transcribe", "a.wav", "-f", "srt", "-f", "txt"], "several formats need --output"),
        (["transcribe", "a.wav", "b.wav", "-f", "vtt"], "2 recordings as vtt need --output"),
        (["transcribe", "a.wav", "-f", "srt", "--timestamps", "none"], "--format srt needs times"),
        (["transcribe", "a.wav", "--hotword", ""], "--hotword: hotwords.0: string should have at least 1 character"),
        (["transcribe", ""], "an empty path"),
        (["dead-letters", "show", "17"], "17: write PARTITION:OFFSET"),
        (["replay", "--from", "yesterday"], "--from yesterday: give an offset, or a time"),
        (["replay", "--from-bucket", "s3://a", "--topic", "t"], "--from-bucket and --topic exclude each other"),
        (["replay", "--from-bucket", "s3://a", "--partition", "0"], "--from-bucket reads no topic"),
        (["replay", "--from-bucket", "s3://a", "--from", "17"], "--from-bucket reads no topic"),
        (["replay", "--id", "a b"], "--id a b: give letters"),
        (["transcribe", "s3://"], "s3://: no bucket"),
        (["transcribe", "s3:///key"], "s3:///key: no bucket"),
    ],
)
def test_contradictions_end_with_2_and_one_line(words: list[str], message: str) -> None:
    result = runner.invoke(cli.app, words)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"tingxie: {message}")


def test_wrong_settings_are_listed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_KAFKA__COMMIT_INTERVAL_MS", "soon")
    monkeypatch.setenv("TINGXIE_LIMITS__FETCH_WORKERS", "0")
    result = runner.invoke(cli.app, ["watch"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "TINGXIE_KAFKA__COMMIT_INTERVAL_MS" in result.stderr
    assert "TINGXIE_LIMITS__FETCH_WORKERS" in result.stderr


@pytest.mark.parametrize("order", ["before", "after"])
def test_config_may_stand_before_or_after_the_command(order: str, tmp_path: Path) -> None:
    config = tmp_path / "tingxie.toml"
    config.write_text("[kafka]\nnonsense = 1\n")
    option = ["--config", str(config)]
    result = runner.invoke(cli.app, [*option, "watch"] if order == "before" else ["watch", *option])
    assert result.exit_code == 2
    assert "kafka.nonsense" in result.stderr


def test_a_failure_ends_with_1_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINGXIE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("TINGXIE_KAFKA__STARTUP_TIMEOUT_S", "0.3")
    result = runner.invoke(cli.app, ["watch"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("tingxie: no broker answered at 127.0.0.1:1")
    assert "Traceback" not in result.stderr


def test_versions() -> None:
    result = runner.invoke(cli.app, ["version"])
    assert result.stdout.splitlines()[0] == f"tingxie {version('tingxie')}"
    assert f"torch {version('torch')}" in result.stdout.splitlines()
    as_json = json.loads(runner.invoke(cli.app, ["version", "--json"]).stdout)
    assert [f"{name} {number}" for name, number in as_json.items()] == result.stdout.splitlines()


def test_nothing_heavy_is_imported_for_help_and_version() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from consumer import cli\n"
        "for words in (['--help'], ['run', '--help'], ['version']):\n"
        "    assert CliRunner().invoke(cli.app, words).exit_code == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_reader_that_went_away_is_no_drama(tingxie: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as gone:  # noqa: PTH123 - a descriptor, not a path
        done = subprocess.run([*tingxie, "version"], stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_unexpected_exception_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(**_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("consumer.commands.version.show_version", explode)
    result = runner.invoke(cli.app, ["version"])
    assert isinstance(result.exception, ZeroDivisionError)
