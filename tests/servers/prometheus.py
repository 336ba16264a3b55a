"""Prometheus, which scrapes and is queried, and its promtool, which checks rules and runs their tests."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.servers.cache import ServerError, install_once, run_installer
from tests.servers.process import Server, ServerProcess, free_ports

NAME = "prometheus-debian"
START_S = 60.0


def install() -> Path:
    """The program promtool, with prometheus beside it: the system's, else out of Debian's package (20 MB).

    The package is unpacked, not installed: that would start a server.

    Raises:
        ServerError: there is none on the PATH, and the package cannot be had.
    """
    found = shutil.which("promtool")
    if found and Path(found).with_name("prometheus").exists():
        return Path(found)
    return install_once(NAME, _unpack) / "usr" / "bin" / "promtool"


def _unpack(folder: Path) -> None:
    try:
        try:
            _download(folder)
        except ServerError:
            with suppress(ServerError):  # not root, and perhaps not needed
                run_installer(NAME, ["apt-get", "update", "-qq"], cwd=folder, timeout_s=300)
            _download(folder)
        (package,) = folder.glob("*.deb")
        run_installer(NAME, ["dpkg-deb", "--extract", str(package), str(folder)], cwd=folder, timeout_s=60)
        package.unlink()
    except ServerError as error:
        raise ServerError(f"install Prometheus, so that promtool is on the PATH; {error}") from error


def _download(folder: Path) -> None:
    run_installer(NAME, ["apt-get", "download", "-q", "prometheus"], cwd=folder, timeout_s=300)


def scrape(target: str, rules: Sequence[Path] = ()) -> dict[str, Any]:
    """Settings that ask ``target`` (``host:port``) every second, as job ``tingxie``, and evaluate ``rules``."""
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rule) for rule in rules],
        "scrape_configs": [{"job_name": "tingxie", "static_configs": [{"targets": [target]}]}],
    }


class Prometheus(Server):
    """One on a free loopback port.

    Args:
        config: its configuration: what a file would hold, or the file.
    """

    def __init__(self, config: Mapping[str, Any] | Path) -> None:
        super().__init__(NAME, "tingxie-prometheus-")
        self._port = 0
        if isinstance(config, Path):
            self._config = config
        else:
            self._config = self._folder / "prometheus.yml"
            self._config.write_text(yaml.safe_dump(dict(config)))

    @property
    def url(self) -> str:
        """Where it answers, once it was started."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and return when it answers."""
        program = install().with_name("prometheus")
        if self._port == 0:
            (self._port,) = free_ports(1)
        address = f"--web.listen-address=127.0.0.1:{self._port}"
        storage = f"--storage.tsdb.path={self._folder / 'data'}"
        self._process = ServerProcess(
            NAME, [str(program), f"--config.file={self._config}", address, storage], self._log
        )
        self._process.wait_until(self._ready, START_S)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression yields now: series, each with its labels and value.

        Raises:
            ServerError: Prometheus does not take the expression; with what it says.
        """
        answer = json.loads(self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def alerts(self) -> set[str]:
        """Names of the rules that it evaluates without a fault.

        Raises:
            ServerError: one cannot be evaluated; with what Prometheus says.
        """
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        if faults := [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule.get("lastError")]:
            raise ServerError("; ".join(faults))
        return {rule["name"] for rule in rules if rule["health"] == "ok"}

    def targets(self) -> dict[str, str]:
        """Addresses that it scrapes, each with its job."""
        active = json.loads(self._get("/api/v1/targets?state=active"))["data"]["activeTargets"]
        return {target["scrapeUrl"]: target["labels"]["job"] for target in active}

    def _ready(self) -> bool:
        try:
            self._get("/-/ready")
        except ServerError:
            return False
        return True

    def _get(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(f"{NAME}: {path}: {error.read().decode()}") from error
        except OSError as error:
            raise ServerError(f"{NAME}: {path}: {error}") from error
