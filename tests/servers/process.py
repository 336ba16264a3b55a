"""A server process whose output is kept, whose readiness is waited for, and which ends with the session."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from tests.servers.cache import ServerError

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_PORT = 10_240  # below lie the ports of well-known services
POLL_S = 0.05
TAIL_CHARS = 6000


def free_ports(count: int) -> list[int]:
    """Loopback TCP ports that are free now; all are held until all are chosen, so they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def steady_ports(count: int) -> list[int]:
    """Loopback TCP ports that are free now and that no outgoing connection is given by the kernel.

    While a server is away, a client that connects to its port again and again from the same range would in time
    be given that very port and be connected to itself, and the server could not come back.
    """
    first_ephemeral = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32768
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(range(LOWEST_PORT, first_ephemeral), k=first_ephemeral - LOWEST_PORT):
            try:
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise ServerError(f"there are no {count} free ports from {LOWEST_PORT} to {first_ephemeral}")


def log_tail(path: Path) -> str:
    """The last few thousand characters of a log, for an error message."""
    return path.read_text("utf-8", "replace")[-TAIL_CHARS:] if path.exists() else "(no output)"


class ServerProcess:
    """One child process that dies with the thread that started it, so that an aborted session leaves nothing behind.

    Args:
        name: what error messages call it.
        command: program and arguments.
        log: file its output is appended to.
        env: variables set in addition to the session's.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        # The kernel kills it when its parent ends: a session that is shot cannot stop its servers itself.
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with log.open("ab") as sink:
            self._child: subprocess.Popen[bytes] = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_until(self, ready: Callable[[], bool], deadline_s: float) -> None:
        """Ask ``ready`` again and again.

        Raises:
            ServerError: the process ended, or was not ready within ``deadline_s``; with the end of its log.
        """
        deadline = time.monotonic() + deadline_s
        while not ready():
            if self._ended_within(POLL_S):
                raise ServerError(
                    f"{self.name} ended with code {self._child.returncode} before it was ready. "
                    f"The end of its log:\n{log_tail(self.log)}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(
                    f"{self.name} was not ready within {deadline_s:.0f} s. The end of its log:\n{log_tail(self.log)}"
                )

    def alive(self) -> bool:
        return self._child.poll() is None

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def stop(self, grace_s: float = 15.0) -> None:
        """End it in order, or by force when it does not end within ``grace_s``; does nothing when it is gone."""
        if self.alive():
            self._child.send_signal(signal.SIGCONT)
            self._child.terminate()
            if not self._ended_within(grace_s):
                self.kill()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Its exit code, once it has ended by itself.

        Raises:
            ServerError: it is still there; with the end of its log.
        """
        if not self._ended_within(timeout_s):
            raise ServerError(f"{self.name} still runs after {timeout_s:.0f} s:\n{log_tail(self.log)}")
        return int(self._child.returncode)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._child.kill()
        self._child.wait()

    def _ended_within(self, seconds: float) -> bool:
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


class Running(ABC):
    """What runs from `start` to `close`; as a context, it is closed also when it does not come up."""

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it answers.

        Raises:
            ServerError: it did not come up; the message ends with its log.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop it for good and remove its data."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Server(Running):
    """A server in a temporary folder; `stop` and `start` keep its port and data, as a server that restarts does.

    Args:
        name: what error messages call it.
        prefix: of its folder's name.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self.name = name
        self._folder = Path(tempfile.mkdtemp(prefix=prefix))
        self._log = self._folder / "server.log"
        self._process: ServerProcess | None = None

    @property
    def process(self) -> ServerProcess:
        """The running server, to pause or kill it.

        Raises:
            RuntimeError: it was not started.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def log_tail(self) -> str:
        return log_tail(self._log)

    def stop(self) -> None:
        """Shut it down in order; what it holds stays for the next `start`."""
        if self._process is not None:
            self._process.stop()

    def close(self) -> None:
        """Stop it for good and remove its data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
