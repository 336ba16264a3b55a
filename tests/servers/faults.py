"""An HTTP reverse proxy that answers wrongly when it is told to, and forwards everything else unchanged."""

from __future__ import annotations

import fnmatch
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

from typing_extensions import Self

CHUNK_BYTES = 64 * 1024
UPSTREAM_TIMEOUT_S = 60.0
# Connection-wide headers are a matter of each of the two connections (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"})
CODES = {403: "AccessDenied", 404: "NoSuchKey", 429: "TooManyRequests", 500: "InternalError", 503: "SlowDown"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as the proxy saw it.

    Attributes:
        method: HTTP method.
        path: decoded path, without the query.
        fault: what was done to it; None when it was forwarded.
    """

    method: str
    path: str
    fault: str | None


@dataclass(slots=True)
class _Fault:
    kind: Literal["fail", "stall", "cut"]
    match: str
    times: int | None
    status: int = 503
    after: int = 0


class FaultProxy:
    """A proxy before ``upstream`` on a free loopback port.

    Requests are signed for the address the client used, so the Host header goes through unchanged and signatures
    (AWS SigV4) stay valid. A fault takes the next ``times`` requests that ``match``, all for None; ``match`` is
    a glob over ``"METHOD /decoded/path"``, such as ``"GET */call.wav"``. Earlier faults go first.

    Args:
        upstream: URL of the real server, ``http://host:port``.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ValueError(f"upstream must be http://host:port, not {upstream!r}")
        self.upstream = (parts.hostname, parts.port)
        self._faults: list[_Fault] = []
        self._exchanges: list[Exchange] = []
        self._mistakes: list[BaseException] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server: _Listener | None = None

    @property
    def endpoint_url(self) -> str:
        """URL for clients.

        Raises:
            RuntimeError: the proxy is not running.
        """
        if self._server is None:
            raise RuntimeError("the proxy is not running")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All requests so far, in the order they came."""
        with self._lock:
            return tuple(self._exchanges)

    def fail(self, times: int | None = 1, status: int = 503, match: str = "*") -> None:
        """Answer with an S3 error document instead of forwarding."""
        self._add(_Fault("fail", match, times, status=status))

    def stall(self, times: int | None = 1, after: int = 0, match: str = "*") -> None:
        """Forward, then fall silent after ``after`` bytes of the body (0: before the status line) until `release`."""
        self._released.clear()
        self._add(_Fault("stall", match, times, after=after))

    def cut(self, times: int | None = 1, after: int = 1024, match: str = "*") -> None:
        """Forward, then close the connection after ``after`` bytes of the body."""
        self._add(_Fault("cut", match, times, after=after))

    def release(self) -> None:
        """Let stalled answers go on."""
        self._released.set()

    def clear(self) -> None:
        """Forget all faults that have not struck yet and release what is stalled."""
        with self._lock:
            self._faults.clear()
        self.release()

    def start(self) -> None:
        self._server = _Listener(self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="fault-proxy", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and drop all connections.

        Raises:
            RuntimeError: a request could not be forwarded through a mistake of the proxy itself.
        """
        self.clear()
        if self._server is not None:
            self._server.shutdown()
            self._server.drop_connections()
            self._server.server_close()
            self._server = None
        if self._mistakes:
            raise RuntimeError("the proxy failed to forward a request") from self._mistakes[0]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def take(self, method: str, path: str) -> _Fault | None:
        """Note a request and say which fault strikes it, if any."""
        with self._lock:
            fault = next((one for one in self._faults if fnmatch.fnmatchcase(f"{method} {path}", one.match)), None)
            if fault is not None and fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            self._exchanges.append(Exchange(method, path, fault.kind if fault else None))
            return fault

    def note_mistake(self, error: BaseException) -> None:
        self._mistakes.append(error)

    def wait_for_release(self) -> None:
        self._released.wait()

    def _add(self, fault: _Fault) -> None:
        if fault.times is not None and fault.times < 1:
            raise ValueError(f"a fault strikes at least once, not {fault.times} times")
        with self._lock:
            self._faults.append(fault)


class _Listener(ThreadingHTTPServer):
    """The listening socket; knows its open connections, so that stopping need not wait for idle clients."""

    request_queue_size = 64

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = False

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        with self._open_lock:
            self._open.add(cast("socket.socket", request))
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        with self._open_lock:
            self._open.discard(cast("socket.socket", request))
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that goes away is part of the game; anything else is a mistake here, and `stop` raises it."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, (OSError, HTTPException)):
            self.proxy.note_mistake(error)

    def drop_connections(self) -> None:
        with self._open_lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Forwards one client connection, request by request."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_GET  # noqa: N815 - the base class looks these names up
    do_PUT = do_GET  # noqa: N815
    do_POST = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keeps standard error clean."""

    def handle_expect_100(self) -> bool:
        # The interim answer only asks for the body; it promises nothing about the final one.
        self.send_response_only(100)
        self.end_headers()
        return True

    def _serve(self) -> None:
        fault = self.server.proxy.take(self.command, unquote(urlsplit(self.path).path))
        if fault is not None and fault.kind == "fail":
            for _ in self._request_body():
                pass
            self._answer_error(fault.status)
            return
        upstream = HTTPConnection(*self.server.proxy.upstream, timeout=UPSTREAM_TIMEOUT_S)
        try:
            self._return(self._forward(upstream), fault)
        finally:
            upstream.close()

    def _forward(self, upstream: HTTPConnection) -> HTTPResponse:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                upstream.putheader(name, value)
        chunked = self._chunked()
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        for block in self._request_body():
            upstream.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            upstream.send(b"0\r\n\r\n")
        return upstream.getresponse()

    def _return(self, answer: HTTPResponse, fault: _Fault | None) -> None:
        limit = None if fault is None else fault.after
        if fault is not None and fault.kind == "stall" and limit == 0:
            self.server.proxy.wait_for_release()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or answer.status in {204, 304}
        chunked = not bodiless and answer.getheader("Content-Length") is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        for block in _blocks(answer, limit):
            if fault is not None and sent == limit:
                self._strike(fault)
                if self.close_connection:
                    return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            sent += len(block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _strike(self, fault: _Fault) -> None:
        self.wfile.flush()
        if fault.kind == "stall" and fault.after > 0:
            self.server.proxy.wait_for_release()
        elif fault.kind == "cut":
            self.close_connection = True

    def _answer_error(self, status: int) -> None:
        code = CODES.get(status, "InternalError")
        document = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected fault</Message></Error>".encode()
        body = b"" if self.command == "HEAD" else document
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding", "").lower() == "chunked"

    def _request_body(self) -> Iterator[bytes]:
        if self._chunked():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return
        left = int(self.headers.get("Content-Length", "0"))
        while left > 0:
            block = self.rfile.read(min(left, CHUNK_BYTES))
            if not block:
                raise ConnectionError("the client closed the connection within its request body")
            left -= len(block)
            yield block


def _blocks(answer: HTTPResponse, limit: int | None) -> Iterator[bytes]:
    """The body in blocks, with a boundary after ``limit`` bytes."""
    if limit:
        first = answer.read(limit)
        if first:
            yield first
    while block := answer.read(CHUNK_BYTES):
        yield block
