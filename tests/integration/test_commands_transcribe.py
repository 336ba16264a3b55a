from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from typer.testing import CliRunner
from webvtt import WebVTT

from consumer import cli
from consumer.demo.assets import SAMPLES
from consumer.events.transcript import Transcript
from consumer.transcript.cer import compare
from consumer.transcript.formats import FORMATS, render
from tests.integration.media import silence
from tests.integration.shell import Command
from tests.integration.shell import tingxie as tingxie_process
from tests.servers import FaultProxy, VersityGateway

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.model

TRUTH = {each["file"]: each["text"] for each in json.loads((SAMPLES / "truth.json").read_text())["samples"]}
MOST_WRONG = 0.1
"""These tests are about the command; that the models hear well is measured elsewhere, so one wrong word is allowed."""


def tingxie(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr; in this process, where the model libraries are imported only once."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        result = CliRunner().invoke(cli.app, words, env=dict(environment))
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def heard_well(text: str, sample: str) -> bool:
    return compare(TRUTH[sample], text).rate <= MOST_WRONG


@pytest.fixture
def local(tmp_path: Path) -> dict[str, str]:
    """Settings of a machine without broker and bucket."""
    return {"TINGXIE_LIMITS__SPOOL_DIR": str(tmp_path / "spool"), "TINGXIE_ENGINE__DEVICE": "cpu"}


def test_files_go_on_when_one_fails(local: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(SAMPLES / "meeting.wav", folder / "deep" / "b.wav")
    shutil.copy(SAMPLES / "broken.mp3", folder / "a.mp3")
    (folder / "c.wav").write_bytes(silence(2.0))
    (folder / "empty.ogg").touch()
    missing, single = str(tmp_path / "missing.wav"), str(SAMPLES / "hotline.wav")
    words = ("transcribe", "--demo-model", "--format", "json", missing, str(folder), single)
    code, out, err = tingxie_process(local, *words)  # a real stdout, which the model libraries know how to find
    assert code == 1
    heard = [Transcript.model_validate_json(line) for line in out.splitlines()]
    assert [each.source.key for each in heard] == [f"{folder}/c.wav", f"{folder}/deep/b.wav", single]
    assert [each.status for each in heard] == ["no_speech", "completed", "completed"]
    assert heard_well(heard[1].text, "meeting.wav")
    assert heard_well(heard[2].text, "hotline.wav")
    complaints = err.splitlines()
    for name, code_ in (
        (missing, "object_missing"),
        (f"{folder}/a.mp3", "not_media"),
        (f"{folder}/empty.ogg", "object_empty"),
    ):
        assert sum(name in line and f" {code_}: " in line for line in complaints) == 1, err
    assert f"tingxie: {folder}/c.wav: no speech in it" in complaints
    assert complaints[-1] == "tingxie: 3 of 6 failed"
    assert not list((tmp_path / "spool").glob("process-*"))


def test_every_format_into_a_folder(local: dict[str, str], tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    (folder / "calls").mkdir(parents=True)
    shutil.copy(SAMPLES / "meeting.wav", folder / "calls" / "one.wav")
    shutil.copy(SAMPLES / "podcast.mp3", folder / "calls" / "one.mp3")
    formats = [word for form in FORMATS for word in ("--format", form)]
    code, out, err = tingxie(local, "transcribe", "--demo-model", str(folder), "-o", str(output), *formats)
    assert (code, err) == (0, "")
    names = [f"calls/one.{kind}.{form}" for kind in ("mp3", "wav") for form in FORMATS]
    assert out.splitlines() == [str(output / name) for name in names]
    assert sorted(str(path.relative_to(output)) for path in output.rglob("*.*")) == sorted(names)
    for kind, sample in (("wav", "meeting.wav"), ("mp3", "podcast.mp3")):
        transcript = Transcript.model_validate_json((output / f"calls/one.{kind}.json").read_bytes())
        assert heard_well(transcript.text, sample)
        assert transcript.segments[0].words
        for form in ("txt", "srt", "vtt"):
            assert (output / f"calls/one.{kind}.{form}").read_text(encoding="utf-8") == render(transcript, form)
        captions = WebVTT.read(str(output / f"calls/one.{kind}.vtt")).captions
        assert heard_well("".join(each.text for each in captions), sample)


def test_text_of_several_files_has_headers(local: dict[str, str]) -> None:
    first, second = str(SAMPLES / "meeting.wav"), str(SAMPLES / "studio.flac")
    code, out, err = tingxie(local, "transcribe", "--demo-model", second, first)
    assert (code, err) == (0, "")
    header, text, gap, other_header, other_text = out.splitlines()
    assert (header, gap, other_header) == (f"==> {second} <==", "", f"==> {first} <==")
    assert heard_well(text, "studio.flac")
    assert heard_well(other_text, "meeting.wav")


def test_options_reach_the_transcript(local: dict[str, str]) -> None:
    words = ("--channels", "split", "--timestamps", "sentence", "--hotword", "订单", "--format", "json")
    stereo = str(SAMPLES / "hotline.wav")
    code, out, _ = tingxie(local, "transcribe", "--demo-model", stereo, *words)
    assert code == 0
    transcript = Transcript.model_validate_json(out)
    assert transcript.segments
    assert all(each.words == () for each in transcript.segments)
    assert {each.channel for each in transcript.segments} <= set(range(transcript.source.channels))


def test_objects_and_prefixes(
    service_environment: dict[str, str], bucket: str, bucket_server: VersityGateway, s3: Callable[..., S3Client]
) -> None:
    client = s3(bucket_server.endpoint_url)
    for key, sample in (
        ("calls/a b+c%20.wav", "meeting.wav"),
        ("calls/2026/热线.amr", "热线 录音.amr"),
        ("other/x.mp3", "podcast.mp3"),
        ("calls/readme.txt", "truth.json"),
    ):
        client.put_object(Bucket=bucket, Key=key, Body=(SAMPLES / sample).read_bytes())
    addresses = (f"s3://{bucket}/other/x.mp3", f"s3://{bucket}/calls/", f"s3://{bucket}/calls/gone.wav")
    code, out, err = tingxie(service_environment, "transcribe", "--format", "json", *addresses)
    heard = [Transcript.model_validate_json(line) for line in out.splitlines()]
    assert [each.source.key for each in heard] == ["other/x.mp3", "calls/2026/热线.amr", "calls/a b+c%20.wav"]
    for each, sample in zip(heard, ("podcast.mp3", "热线 录音.amr", "meeting.wav"), strict=True):
        assert each.source.bucket == bucket
        assert heard_well(each.text, sample)
    assert code == 1
    assert f"s3://{bucket}/calls/gone.wav" in err
    assert "object_missing" in err


def test_a_storage_that_stumbles_is_asked_again(
    service_environment: dict[str, str],
    bucket: str,
    bucket_server: VersityGateway,
    fault_proxy: FaultProxy,
    s3: Callable[..., S3Client],
) -> None:
    client = s3(bucket_server.endpoint_url)
    client.put_object(Bucket=bucket, Key="x.wav", Body=(SAMPLES / "meeting.wav").read_bytes())
    fault_proxy.fail(times=2, status=503)
    environment = service_environment | {"TINGXIE_STORAGE__ENDPOINT_URL": fault_proxy.endpoint_url}
    code, out, err = tingxie(environment, "transcribe", f"s3://{bucket}/x.wav")
    assert code == 0
    assert heard_well(out, "meeting.wav")
    assert err.count("storage_unavailable") == 2


def test_refused_credentials_stop_at_once(service_environment: dict[str, str], bucket: str) -> None:
    environment = service_environment | {"TINGXIE_STORAGE__SECRET_ACCESS_KEY": "wrong"}
    code, out, err = tingxie(environment, "transcribe", f"s3://{bucket}/")
    assert (code, out) == (1, "")
    assert "refused the credentials" in err
    assert "wrong" not in err


def test_a_model_that_is_not_there(local: dict[str, str], tmp_path: Path) -> None:
    environment = local | {"TINGXIE_ENGINE__MODEL": str(tmp_path / "no model")}
    code, out, err = tingxie(environment, "transcribe", str(SAMPLES / "meeting.wav"))
    assert (code, out) == (1, "")
    assert "engine.model" in err
    assert "Traceback" not in err


def test_ctrl_c_ends_it_and_leaves_nothing(local: dict[str, str], tmp_path: Path) -> None:
    deadline = time.monotonic() + 60
    with Command(local, "transcribe", "--demo-model", str(SAMPLES)) as command:
        while not list((tmp_path / "spool").glob("process-*")):
            assert time.monotonic() < deadline
        command.interrupt()
        code, _, err = command.end()
    assert code == 130
    assert "Traceback" not in err
    assert not list((tmp_path / "spool").glob("process-*"))
