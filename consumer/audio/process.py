"""The parent's end of one decoder process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence

LONGEST_REPLY = 1 << 16
"""Bytes; a real reply has a few hundred, and a process that was taken over may send any number."""


ENDING_SECONDS = 2.0
"""How long a process that has closed its output may take to end by itself, which tells why it did."""


class WorkerGoneError(Exception):
    """The process died, or said something that is no reply."""


class WorkerSpentError(Exception):
    """The system ended the process because it had used up its processor time."""


class WorkerSilentError(Exception):
    """The process gave no reply in time."""


class WorkerProcess:
    """One process that answers messages with lines. Used by one thread at a time; `stop` may come from any."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process, in a session of its own: a terminal's Ctrl-C is for the service, which then drains.

        Raises:
            OSError: it cannot be started.
        """
        # A socket, since a pipe carries no open files; of the kind that keeps messages apart.
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    stderr=self._complaints,
                    env=dict(environment),
                    cwd="/",
                    bufsize=0,
                    start_new_session=True,
                )
        except OSError:
            self._complaints.close()
            self._requests.close()
            raise
        self.jobs = 0
        self.greeting = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def ask(self, message: bytes, files: Sequence[int], timeout_s: float) -> bytes:
        """Send a message with the descriptors of open files, and wait for a line.

        Raises:
            WorkerGoneError: the process ended, before or while it worked on it.
            WorkerSpentError: it used up its processor time.
            WorkerSilentError: no reply within the time.
        """
        self.jobs += 1
        try:
            socket.send_fds(self._requests, [message], files)
        except OSError as error:
            raise self._end() from error
        return self.read(timeout_s)

    def read(self, timeout_s: float) -> bytes:
        """Wait for a line; errors as `ask`."""
        stdout = self._process.stdout
        deadline = time.monotonic() + timeout_s
        received = b""
        try:
            descriptor = stdout.fileno() if stdout is not None else -1
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            while not received.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    raise WorkerSilentError
                chunk = os.read(descriptor, 1 << 16)
                if not chunk:
                    raise self._end()
                received += chunk
                if len(received) > LONGEST_REPLY:
                    raise WorkerGoneError("it broke the protocol")
        except OSError as error:
            raise self._end() from error
        return received

    def greet(self, timeout_s: float) -> None:
        """Wait for its first line, which it says before any job, and keep it as ``greeting``; errors as `ask`."""
        self.greeting = self.read(timeout_s)

    def stop(self) -> None:
        """End it at once, whoever is talking to it: that thread gets `WorkerGoneError`, and then calls `close`."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it and give up its pipes, once nobody talks to it any more; may be called twice."""
        self.stop()
        for pipe in (self._requests, self._process.stdout, self._complaints):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _end(self) -> WorkerGoneError | WorkerSpentError:
        """How it ended, and the last it had to say."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # its output ends a moment before it does
            self._process.wait(ENDING_SECONDS)
        self.stop()
        status = self._process.returncode
        if status == -signal.SIGXCPU:
            return WorkerSpentError()
        cause = f"exit code {status}"
        if status < 0:
            with contextlib.suppress(ValueError):
                cause = f"killed by {signal.Signals(-status).name}"
        with contextlib.suppress(OSError, ValueError):
            self._complaints.seek(0)
            lines = self._complaints.read(LONGEST_REPLY).decode("utf-8", "replace").strip().splitlines()
            if lines:
                cause += f": {lines[-1]}"
        return WorkerGoneError(cause)
