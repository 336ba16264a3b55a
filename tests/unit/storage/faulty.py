"""An HTTP server that answers S3 requests badly, as it is told."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class FaultyStorage:
    """Answers every request with the same fault; counts requests and keeps their headers."""

    def __init__(self) -> None:
        self.fault: Callable[[BaseHTTPRequestHandler], None] = answer(500)
        self.requests: list[dict[str, str]] = []
        self.over = threading.Event()
        storage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                storage.requests.append({name.lower(): value for name, value in self.headers.items()})
                self.close_connection = True  # or the thread would wait for the next request
                storage.fault(self)

            do_HEAD = do_GET  # noqa: N815 - the library's way to name methods

            def do_PUT(self) -> None:
                # Closing with bytes unread would reset the connection before the answer is seen.
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyStorage:  # noqa: PYI034 - typing.Self came with Python 3.11
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def stall(self, before: bytes = b"") -> None:
        """Say nothing (more) until the test is over."""

        def fault(handler: BaseHTTPRequestHandler) -> None:
            if before:
                handler.wfile.write(before)
                handler.wfile.flush()
            self.over.wait(30)

        self.fault = fault

    def trickle(self, announced: int, piece: bytes, pause_s: float) -> None:
        """Send a body in pieces, with pauses, for as long as the client takes them."""

        def fault(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n".encode())
            with contextlib.suppress(ConnectionError):
                while not self.over.wait(pause_s):
                    handler.wfile.write(piece)

        self.fault = fault

    def break_off(self, before: bytes = b"", *, reset: bool = False) -> None:
        """Close or reset the connection after some bytes."""

        def fault(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(before)
            handler.wfile.flush()
            if reset:
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.connection.close()

        self.fault = fault


def answer(status: int, code: str = "", body: bytes = b"") -> Callable[[BaseHTTPRequestHandler], None]:
    """A complete answer; with a code, S3's XML for it."""
    if code:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told to</Message></Error>".encode()

    def fault(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return fault
