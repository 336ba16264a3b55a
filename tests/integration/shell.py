"""The command line as people run it: a process of its own, with its three streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import TracebackType

from typing_extensions import Self

from tests.integration.harness import TopicReader

END_S = 170.0
"""The models' libraries take half a minute to import on a machine that is busy."""


class Command:
    """``tingxie …`` running; ends with the context."""

    def __init__(self, environment: Mapping[str, str], *words: str) -> None:
        # Started by a shell in the background, a process inherits that SIGINT is ignored; nobody at a terminal does.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "consumer", *words],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def complaint(self) -> str:
        """The next line on stderr."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def result(self) -> str:
        """The next line on stdout."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Exit code, and the rest of stdout and stderr."""
        out, err = self.process.communicate(timeout=END_S)
        return self.process.returncode, out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@contextmanager
def under_way(environment: Mapping[str, str], *words: str, topic: str, records: int) -> Iterator[Command]:
    """A command that writes to a topic, from when so many records lie there."""
    broker = environment["TINGXIE_KAFKA__BOOTSTRAP_SERVERS"]
    with Command(environment, *words) as command, closing(TopicReader(broker, topic)) as reader:
        reader.until(lambda seen: len(seen) >= records)
        yield command


def tingxie(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    """Run a command to its end: exit code, stdout, stderr."""
    with Command(environment, *words) as command:
        return command.end()
