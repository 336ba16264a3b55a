"""Keeps model libraries off the console: they print to standard output, where only results belong."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_LOUD_LOGGERS = ("modelscope", "modelscope_hub", "jieba")
"""Loggers with handlers of their own."""


class _OtherThreads:
    """A stream that swallows what one thread writes and passes everybody else's on."""

    def __init__(self, stream: TextIO, silenced: int) -> None:
        self._stream = stream
        self._silenced = silenced

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._silenced else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what this thread prints, logs on the root logger, and warns of; other threads are not touched.

    Warnings are process-wide in Python, and ignored for everybody meanwhile. Meant for the time models load.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is first imported
    thread = threading.get_ident()
    root = logging.getLogger()
    handler = logging.NullHandler()

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    root.addFilter(from_elsewhere)
    root.addHandler(handler)  # or logging.warning() would install one that writes to standard error
    for name in _LOUD_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_OtherThreads(stream, thread) for stream in streams)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout, sys.stderr = streams
        root.removeHandler(handler)
        root.removeFilter(from_elsewhere)
