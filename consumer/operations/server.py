"""Small HTTP servers, each on a thread of its own: one for probes and scrapes, one for whoever operates the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from consumer.errors import UsageError
from consumer.operations.health import Health

PLAIN = "text/plain; charset=utf-8"
LOOPBACK = "127.0.0.1"


class Answer(NamedTuple):
    """What a request is answered with."""

    status: HTTPStatus
    body: bytes
    content_type: str = PLAIN


Routes = Mapping[str, Callable[[], Answer]]
"""By method and path: ``GET /live``."""


class SmallServer:
    """Answers until closed.

    Args:
        host: address to bind.
        port: of it; 0 takes any that is free.
        routes: what is answered; whatever else is asked for is answered with a list of them.
        setting: names the port's setting in messages.
        name: of the thread.
    """

    def __init__(self, host: str, port: int, routes: Routes, *, setting: str, name: str) -> None:
        """Bind the port.

        Raises:
            UsageError: the address cannot be bound.
        """

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                route = routes.get(f"{method} {self.path.partition('?')[0]}")
                answer = route() if route else Answer(HTTPStatus.NOT_FOUND, f"{', '.join(routes)}\n".encode())
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                """Probes come every few seconds; they are no news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise UsageError(
                f"{setting}: {host}:{port} cannot be bound ({error.strerror}); choose another port, or 0 for none"
            ) from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name=name, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def health_server(host: str, port: int, health: Health, registry: CollectorRegistry) -> SmallServer:
    """Serve ``/live``, ``/ready`` and ``/metrics``.

    Raises:
        UsageError: the address cannot be bound.
    """

    def probe(look: Callable[[], str | None]) -> Callable[[], Answer]:
        def answer() -> Answer:
            problem = look()
            status = HTTPStatus.OK if problem is None else HTTPStatus.SERVICE_UNAVAILABLE
            return Answer(status, f"{problem or 'ok'}\n".encode())

        return answer

    routes: Routes = {
        "GET /live": probe(health.live),
        "GET /ready": probe(health.ready),
        "GET /metrics": lambda: Answer(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_LATEST),
    }
    return SmallServer(host, port, routes, setting="telemetry.host and telemetry.port", name="health")


def admin_server(port: int, routes: Routes) -> SmallServer:
    """Serve commands to whoever can reach this machine's loopback address, and to nobody else.

    Raises:
        UsageError: the port cannot be bound.
    """
    return SmallServer(LOOPBACK, port, routes, setting="telemetry.admin_port", name="admin")
