"""Where the demo writes: stdout for itself alone; whatever libraries print goes elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

STDOUT, STDERR = 1, 2


@contextmanager
def own_stdout() -> Iterator[TextIO]:
    """Yields the real stdout and points file descriptor 1 at stderr.

    Libraries print what they like, some of them from C++ and from child processes, so redirecting `sys.stdout` would
    not do.
    """
    sys.stdout.flush()
    saved = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        with os.fdopen(os.dup(saved), "w", encoding=sys.stdout.encoding, errors="replace", buffering=1) as stream:
            yield stream
    finally:
        sys.stdout.flush()
        os.dup2(saved, STDOUT)
        os.close(saved)


@contextmanager
def chatter(write: Callable[[str], None]) -> Iterator[None]:
    """Hands every line that libraries write (this process and its children) to a function, on a thread.

    Within `own_stdout`, for a terminal: a live picture would be torn apart by them; the function writes them above it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(STDERR)
    reading, writing = os.pipe()
    for descriptor in (STDOUT, STDERR):
        os.dup2(writing, descriptor)
    os.close(writing)

    def pump() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                write(line.rstrip("\n"))

    thread = threading.Thread(target=pump, name="chatter", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor in (STDOUT, STDERR):
            os.dup2(saved, descriptor)
        os.close(saved)
        # A child that still holds the other end keeps the thread reading; it is a daemon and left behind then.
        thread.join(timeout=1)
