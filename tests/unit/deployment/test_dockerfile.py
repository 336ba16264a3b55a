"""The Dockerfile, as far as it can be judged without building it."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]

from consumer.settings import Settings

ROOT = Path(__file__).parents[3]
INSTRUCTIONS: list[dict[str, str]] = DockerfileParser(path=str(ROOT / "Dockerfile"), cache_content=True).structure
ENVIRONMENT: dict[str, str] = DockerfileParser(path=str(ROOT / "Dockerfile"), cache_content=True).envs


def values(instruction: str) -> list[str]:
    return [one["value"] for one in INSTRUCTIONS if one["instruction"] == instruction]


def copied() -> list[str]:
    """Sources of COPY that come from this checkout."""
    return [source for value in values("COPY") if "--from" not in value for source in value.split()[:-1]]


def test_follows_the_rules_of_hadolint() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_reaches_the_builder(source: str) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    assert (ROOT / source).exists()
    assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed)


def test_bases_are_pinned_to_one_full_version() -> None:
    bases = {value.split()[0] for value in values("FROM")} - {"tools"}
    assert bases == {"python:${PYTHON_VERSION}-slim-trixie"}
    (version,) = [value for value in values("ARG") if value.startswith("PYTHON_VERSION=")]
    assert re.fullmatch(r"PYTHON_VERSION=3\.1[0-4]\.\d+", version)


def test_uv_is_the_one_of_the_setup_script() -> None:
    (version,) = re.findall(r"^UV_VERSION=(\S+)", (ROOT / "scripts" / "setup.sh").read_text(), re.MULTILINE)
    assert f"UV_VERSION={version}" in values("ARG")


def test_runs_as_a_fixed_user_that_is_not_root() -> None:
    last = INSTRUCTIONS[max(at for at, one in enumerate(INSTRUCTIONS) if one["instruction"] == "FROM") :]
    (user,) = [one["value"] for one in last if one["instruction"] == "USER"]
    uid, gid = user.split(":")

    assert int(uid) > 0
    assert int(gid) > 0
    assert f"-o {uid} -g {gid} " + " ".join(json.loads(values("VOLUME")[0])) in values("RUN")[-1]


def test_starts_a_command_of_the_package() -> None:
    (entry,) = json.loads(values("ENTRYPOINT")[0])
    (script,) = entry_points(group="console_scripts", name=entry)

    assert script.value == "consumer.cli:main"
    assert json.loads(values("CMD")[0]) == ["run"]


def test_variables_are_settings() -> None:
    named = {name for name in ENVIRONMENT if name.startswith("TINGXIE_")}
    assert named
    for name in named:
        section, field = name.removeprefix("TINGXIE_").lower().split("__")
        annotation = Settings.model_fields[section].annotation
        assert annotation is not None
        assert field in annotation.model_fields


def test_what_is_written_lies_on_volumes_or_in_tmp() -> None:
    writable = ("/tmp", *json.loads(values("VOLUME")[0]))
    for name in ("HOME", "NUMBA_CACHE_DIR", "MODELSCOPE_CACHE", "TINGXIE_LIMITS__SPOOL_DIR"):
        assert ENVIRONMENT[name].startswith(writable), name
    assert values("WORKDIR")[-1] == "/tmp"


def test_torch_and_cuda_are_taken_from_the_lock_whole(tmp_path: Path) -> None:
    (extract,) = [value for value in values("RUN") if value.startswith("awk")]
    command = extract.replace("/locks/all.lock", str(ROOT / "requirements.lock")).replace("/locks/", f"{tmp_path}/")
    subprocess.run(["bash", "-euc", command], check=True)
    taken = (tmp_path / "torch.lock").read_text()

    names = re.findall(r"^([a-z0-9-]+)==", taken, re.MULTILINE)
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    expected = [name for name in locked if name in {"torch", "triton"} or name.startswith(("nvidia-", "cuda-"))]
    assert names == expected
    assert "torch" in names
    for block in re.split(r"^(?=[a-z])", taken, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block
        assert not block.rstrip().endswith("\\")


@contextmanager
def health_endpoint(status: int) -> Iterator[int]:
    """A server whose ``/live`` answers with ``status``; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/live" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server_thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        server_thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server_thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check_asks_the_service(status: int, *, healthy: bool) -> None:
    program, *arguments = json.loads(values("HEALTHCHECK")[0].split("CMD ")[1])
    assert program == "python"
    with health_endpoint(status) as port:
        environment = {"TINGXIE_TELEMETRY__PORT": str(port)}
        asked = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)

    assert (asked.returncode == 0) is healthy
