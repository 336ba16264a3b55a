"""TCP proxies that add latency, throttle, swallow data or refuse connections when told to: Shopify's Toxiproxy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.servers.cache import ServerError, install_go
from tests.servers.process import Server, ServerProcess, steady_ports

VERSION = "2.12.0"
NAME = f"toxiproxy-{VERSION}"
PACKAGE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"

START_S = 30.0
REQUEST_S = 10.0


def install() -> Path:
    """The proxy's program, built by Go when absent (about 15 s, 10 MB).

    Raises:
        ServerError: Go is missing or the build failed.
    """
    return install_go(NAME, PACKAGE)


class Toxiproxy(Server):
    """A proxy server without proxies; `add` makes one before each server. Faults are set and healed by proxy name."""

    def __init__(self) -> None:
        super().__init__(NAME, "tingxie-toxiproxy-")
        (self._port,) = steady_ports(1)

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            ServerError: it did not come up; the message ends with its log.
        """
        command = [str(install()), "-host", "127.0.0.1", "-port", str(self._port)]
        self._process = ServerProcess(NAME, command, self._log)
        self._process.wait_until(self._answers, START_S)

    def add(self, name: str, upstream: int, port: int) -> None:
        """Forward a loopback port to another.

        Args:
            name: of the proxy, for the other methods.
            upstream: port of the real server; it need not run yet.
            port: where clients connect.
        """
        listen, target = f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"
        self._ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": target, "enabled": True})

    def refuse(self, name: str) -> None:
        """Close all connections and refuse new ones, as a server does that is not there."""
        self._ask("POST", f"/proxies/{name}", {"enabled": False})

    def swallow(self, name: str) -> None:
        """Keep connections open and let no data through, as a network does that drops packets."""
        self._toxic(name, "timeout", {"timeout": 0})

    def slow(self, name: str, latency_ms: int, jitter_ms: int = 0) -> None:
        """Delay what the server sends, each time by so much."""
        self._toxic(name, "latency", {"latency": latency_ms, "jitter": jitter_ms})

    def throttle(self, name: str, kilobytes_per_s: int) -> None:
        """Bound the rate of what the server sends."""
        self._toxic(name, "bandwidth", {"rate": kilobytes_per_s})

    def heal(self, name: str) -> None:
        """Take all faults from a proxy. Connections that were swallowed from are closed."""
        for toxic in self._ask("GET", f"/proxies/{name}/toxics"):
            self._ask("DELETE", f"/proxies/{name}/toxics/{toxic['name']}")
        self._ask("POST", f"/proxies/{name}", {"enabled": True})

    def _toxic(self, name: str, kind: str, attributes: Mapping[str, int]) -> None:
        document = {"name": kind, "type": kind, "stream": "downstream", "toxicity": 1.0, "attributes": attributes}
        documents = [document]
        if kind == "timeout":
            documents.append({**document, "name": "upstream", "stream": "upstream"})
        # One fault may begin before an earlier one of its kind was healed: the later counts.
        there = {toxic["name"] for toxic in self._ask("GET", f"/proxies/{name}/toxics")}
        for each in documents:
            if each["name"] in there:
                self._ask("DELETE", f"/proxies/{name}/toxics/{each['name']}")
            self._ask("POST", f"/proxies/{name}/toxics", each)

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_S)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise ServerError(f"{NAME} refused {method} {path}: {answer.status} {body.decode(errors='replace')}")
        return json.loads(body) if body else None

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/version")
        except (OSError, HTTPException):
            return False
        return True
