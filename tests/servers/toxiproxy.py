"""TCP proxies that add latency, throttle, swallow data or refuse connections when told to: Shopify's Toxiproxy."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.servers.cache import ServerError, go_install, install_once
from tests.servers.process import Server, ServerProcess, steady_ports

VERSION = "2.12.0"
NAME = f"toxiproxy-{VERSION}"
PACKAGE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"

START_S = 30.0
REQUEST_S = 5.0
"""It answers at once, or never again."""


def install() -> Path:
    """The proxy's program, built by Go when absent (about 15 s, 10 MB).

    Raises:
        ServerError: Go is missing or the build failed.
    """
    return install_once(NAME, lambda folder: go_install(NAME, PACKAGE, folder)) / "server"


@dataclass(slots=True)
class _Proxy:
    """What a proxy should be.

    Attributes:
        port: where clients connect.
        upstream: port of the real server.
        enabled: whether it takes connections.
        toxics: faults by name, as the server is told them.
    """

    port: int
    upstream: int
    enabled: bool = True
    toxics: dict[str, dict[str, Any]] = field(default_factory=dict)


class Toxiproxy(Server):
    """A proxy server without proxies; `add` makes one before each server. Faults are set and healed by proxy name.

    To take a fault from a busy connection may lock the server up for good
    (https://github.com/Shopify/toxiproxy/issues/558). It is then started anew as it should be, which costs all its
    connections, as a network does that flaps.
    """

    def __init__(self) -> None:
        super().__init__(NAME, "tingxie-toxiproxy-")
        (self._port,) = steady_ports(1)
        self._proxies: dict[str, _Proxy] = {}

    def start(self) -> None:
        """Start the server, with the proxies it had, and return when it answers.

        Raises:
            ServerError: it did not come up; the message ends with its log.
        """
        command = [str(install()), "-host", "127.0.0.1", "-port", str(self._port)]
        self._process = ServerProcess(NAME, command, self._log)
        self._process.wait_until(self._answers, START_S)
        for name in self._proxies:
            self._create(name)

    def add(self, name: str, upstream: int, port: int) -> None:
        """Forward a loopback port to another.

        Args:
            name: of the proxy, for the other methods.
            upstream: port of the real server; it need not run yet.
            port: where clients connect.
        """
        self._proxies[name] = _Proxy(port, upstream)
        self._create(name)

    def refuse(self, name: str) -> None:
        """Close all connections and refuse new ones, as a server does that is not there."""
        self._proxies[name].enabled = False
        self._change(name, set())

    def swallow(self, name: str) -> None:
        """Keep connections open and let no data through, as a network does that drops packets."""
        toxic = {"type": "timeout", "attributes": {"timeout": 0}}
        self._add(name, {"timeout": toxic, "upstream": {**toxic, "stream": "upstream"}})

    def slow(self, name: str, latency_ms: int, jitter_ms: int = 0) -> None:
        """Delay what the server sends, each time by so much."""
        self._add(name, {"latency": {"type": "latency", "attributes": {"latency": latency_ms, "jitter": jitter_ms}}})

    def throttle(self, name: str, kilobytes_per_s: int) -> None:
        """Bound the rate of what the server sends."""
        self._add(name, {"bandwidth": {"type": "bandwidth", "attributes": {"rate": kilobytes_per_s}}})

    def heal(self, name: str) -> None:
        """Take all faults from a proxy. Connections that were swallowed from are closed."""
        proxy = self._proxies[name]
        gone, proxy.toxics, proxy.enabled = set(proxy.toxics), {}, True
        self._change(name, gone)

    def state(self) -> Any:
        """All proxies, as the server tells them, by name."""
        return self._ask("GET", "/proxies")

    def _add(self, name: str, toxics: Mapping[str, dict[str, Any]]) -> None:
        there = self._proxies[name].toxics
        # One fault may begin before an earlier one of its kind was healed: the later counts.
        gone = toxics.keys() & there.keys()
        there.update(toxics)
        self._change(name, gone, toxics)

    def _change(self, name: str, gone: Collection[str], new: Iterable[str] = ()) -> None:
        """Tell the server what has changed about a proxy."""
        try:
            for toxic in gone:
                self._ask("DELETE", f"/proxies/{name}/toxics/{toxic}")
            for toxic in new:
                self._tell_toxic(name, toxic)
            self._ask("POST", f"/proxies/{name}", {"enabled": self._proxies[name].enabled})
        except TimeoutError:
            self.process.kill()
            self.start()

    def _create(self, name: str) -> None:
        proxy = self._proxies[name]
        listen, upstream = f"127.0.0.1:{proxy.port}", f"127.0.0.1:{proxy.upstream}"
        document = {"name": name, "listen": listen, "upstream": upstream, "enabled": proxy.enabled}
        self._ask("POST", "/proxies", document)
        for toxic in proxy.toxics:
            self._tell_toxic(name, toxic)

    def _tell_toxic(self, name: str, toxic: str) -> None:
        self._ask("POST", f"/proxies/{name}/toxics", {"name": toxic, **self._proxies[name].toxics[toxic]})

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
