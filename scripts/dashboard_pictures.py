"""Take the pictures of the dashboard in docs/: two consumers under load, seen by Prometheus and Grafana.

    PYTHONPATH=. python scripts/dashboard_pictures.py GRAFANA [MINUTES]

GRAFANA is the folder of an installed Grafana (``bin/grafana``, ``conf``, ``public``); Chromium and pngquant are on the
PATH. Prometheus and Grafana are set up as docker-compose.yml says; broker and bucket are those of the integration
tests, the models those of the demo.
"""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from tests.integration.harness import ServiceProcess
from tests.integration.world import World, open_world
from tests.servers import KafkaServer, VersityGateway
from tests.servers.process import Server, ServerProcess, free_ports
from tests.servers.prometheus import Prometheus

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "consumer" / "demo" / "samples"
BROKEN = SAMPLES / "broken.mp3"
SOUND = sorted(each for each in SAMPLES.iterdir() if each != BROKEN and each.suffix != ".json")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
START_S = 180.0
PICTURES = {"dashboard": (1280, 1990), "dashboard-top": (1280, 655)}
"""Width and height in pixels."""


class Grafana(Server):
    """Grafana with settings, data source and dashboard of docker-compose.yml.

    Args:
        home: where it is installed.
        prometheus: URL of its data source.
    """

    def __init__(self, home: Path, prometheus: str) -> None:
        super().__init__("Grafana", "tingxie-grafana-")
        self._home = home
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        service = COMPOSE["services"]["grafana"]
        dashboards, provisioning = self._folder / "etc/dashboards", self._folder / "etc/grafana/provisioning"

        def local(text: str) -> str:
            return text.replace("http://prometheus:9090", prometheus).replace("/etc/dashboards", str(dashboards))

        self._environment = {
            **{name: local(value) for name, value in service["environment"].items()},
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_PATHS_DATA": str(self._folder / "data"),
            "GF_PATHS_LOGS": str(self._folder / "logs"),
            "GF_PATHS_PLUGINS": str(self._folder / "plugins"),
            "GF_PATHS_PROVISIONING": str(provisioning),
        }
        for mount in service["configs"]:
            place = self._folder / mount["target"].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(local((ROOT / COMPOSE["configs"][mount["source"]]["file"]).read_text()))

    def start(self) -> None:
        """Start it and return when it answers."""
        command = [str(self._home / "bin" / "grafana"), "server", f"--homepath={self._home}"]
        self._process = ServerProcess(self.name, command, self._log, self._environment)
        self._process.wait_until(lambda: "HTTP Server Listen" in self._log.read_text(), START_S)

    def picture(self, path: Path, width: int, height: int, minutes: float) -> None:
        """Write what a browser shows of the last minutes."""
        end = time.time()  # not the browser's: its clock runs ahead while it waits for the page
        span = f"from={(end - minutes * 60) * 1000:.0f}&to={end * 1000:.0f}"
        page = f"{self.url}/d/tingxie/tingxie?{span}&theme=light&kiosk"
        with tempfile.TemporaryDirectory() as profile:
            flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
            flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
            flags += [f"--user-data-dir={profile}", f"--window-size={width},{height}"]
            flags += ["--virtual-time-budget=60000", f"--screenshot={path}"]
            subprocess.run(["chromium", *flags, page], check=True, timeout=300, capture_output=True)
        subprocess.run(["pngquant", "--nofs", "--force", "--ext=.png", "128", path], check=True)  # a third of the size


def load(world: World, minutes: float) -> Iterator[None]:
    """Upload for some minutes, quickly and slowly by turns, one in fourteen broken or gone; yields after each."""
    dice = random.Random(1)
    end = time.monotonic() + minutes * 60
    for number in itertools.count():
        path = BROKEN if number % 20 == 0 else dice.choice(SOUND)
        key = f"calls/{number:05}{path.suffix}"
        if number % 50 != 25:
            world.upload(key, path.read_bytes())
        world.announce(key)
        yield
        if time.monotonic() > end:
            return
        time.sleep(dice.expovariate(6.0 if time.monotonic() // 60 % 2 else 1.0))


def prometheus_settings(services: list[ServiceProcess]) -> dict[str, Any]:
    """Those of docker-compose.yml, with the consumers that run here."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "compose" / "prometheus.yml").read_text())
    settings["rule_files"] = [str(ROOT / "helm" / "tingxie" / "files" / "alerts.yaml")]
    settings["scrape_configs"][0]["static_configs"] = [
        {"targets": [f"127.0.0.1:{each.port}"], "labels": {"instance": f"consumer-{number}"}}
        for number, each in enumerate(services, 1)
    ]
    return settings


def main(home: Path, minutes: float) -> None:
    """Let it run for some minutes, then take the pictures."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = stack.enter_context(KafkaServer())
        models = ROOT / "consumer" / "demo" / "models"
        # Events without keys, so that they spread over the partitions: versitygw's have one key.
        world = stack.enter_context(
            open_world(
                kafka, models, folder, VersityGateway.client, delays=["30s"], announces=False, uploads="audio-uploaded"
            )
        )
        first, second = world.service(), world.service()
        stack.enter_context(first)
        prometheus = stack.enter_context(Prometheus(prometheus_settings([first, second])))
        grafana = stack.enter_context(Grafana(home, prometheus.url))

        def join() -> None:
            second.launch()
            stack.callback(second.process.stop, 40.0)

        happens = [(0.2, join), (0.7, lambda: first.send(signal.SIGHUP))]
        begun = time.monotonic()
        for number, _ in enumerate(load(world, minutes)):
            share = (time.monotonic() - begun) / (minutes * 60)
            if happens and share > happens[0][0]:
                happens.pop(0)[1]()
            if share > 0.5 and number % 3 == 0:
                world.proxy.fail(times=1, match="GET *")
        for name, (width, height) in PICTURES.items():
            grafana.picture(ROOT / "docs" / f"{name}.png", width, height, minutes)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), float(sys.argv[2]) if len(sys.argv) > 2 else 6.0)
