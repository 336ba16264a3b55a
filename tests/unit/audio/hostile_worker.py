"""The decoder process as it is, but for a flaw: a recording that begins with the name of an attack runs it.

``python -m tests.unit.audio.hostile_worker``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from consumer.audio import worker
from consumer.audio.decode import Report, Request
from consumer.audio.decode import decode as flawless
from consumer.errors import NotMedia

NOBODY = 65_534


def segfault(_: Request) -> None:
    ctypes.string_at(0)


def hang(_: Request) -> None:
    signal.pause()


def burn(_: Request) -> None:
    while True:
        pass


def allocate(_: Request) -> None:
    held = []
    while True:
        held.append(bytearray(64 << 20))


def fill(request: Request) -> None:
    """Fill the disk past all counting of samples."""
    while True:
        request.outputs[0].write(bytes(1 << 20))


def probe(request: Request) -> None:
    """Try what a decoder has no business with, and tell what could be done."""
    parent, port = os.getppid(), int(request.source.read().split()[1])
    attempts: dict[str, Callable[[], object]] = {
        "read a system file": lambda: Path("/etc/passwd").read_bytes(),
        "read the parent's environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "list a folder": lambda: os.listdir("/"),  # noqa: PTH208 - nothing but the system call
        "write a file": lambda: Path("/tmp/tingxie-probe").write_bytes(b"x"),
        "connect": lambda: socket.socket().connect(("127.0.0.1", port)),
        "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
        "send a datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
        "signal the parent": lambda: os.kill(parent, 0),
        "start a process": _fork,
        "start a thread": lambda: threading.Thread(target=int).start(),
        "run a program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 - no shell is meant
    }
    done = []
    for name, attempt in attempts.items():
        with contextlib.suppress(OSError, RuntimeError):
            attempt()
            done.append(name)
    raise NotMedia(json.dumps(done))


def _fork() -> None:
    if not os.fork():
        os._exit(0)


ATTACKS = {each.__name__.encode(): each for each in (segfault, hang, burn, allocate, fill, probe)}


def decode(request: Request) -> Report:
    attack = ATTACKS.get(request.source.read(16).split(b" ")[0])
    request.source.seek(0)
    if attack is not None:
        attack(request)
    return flawless(request)


if __name__ == "__main__":
    if os.geteuid() == 0:  # whom the system exempts from some limits; a service is nobody special
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    setattr(worker, "decode", decode)  # noqa: B010 - the flaw; the module exports no such name
    worker.main()
