"""Ends a process in which a thread is stuck, and says before where every thread is and what was in work.

Two watch. A thread looks every second at what each other thread does; that is of no use while a C call keeps the
interpreter's lock, so the thread also puts off, every second, a timer of `faulthandler`, which needs no interpreter.
Whichever finds something, the process ends with exit code 1, and nothing is committed that is not complete. A watchdog
that dies puts nothing off any more, and so ends the process too.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import structlog

from consumer.operations.health import Health
from consumer.operations.stacks import all_stacks
from consumer.operations.vigil import Overdue, Vigil
from consumer.stage import Doing

log = structlog.get_logger("tingxie")

LOOK_S = 1.0
"""How often the watchdog looks."""

GRACE_S = 10.0
"""From the log lines to the end, so that a probe or a person learns why. The work may still come to an end."""

WRITE_S = 20.0
"""How long the log may take. It may be the log that everybody waits for, when nobody reads standard error."""

MOST_RECORDS = 100
"""Named in the log at most."""


class End:
    """The ways a process can be ended. The timers are the process's own: nobody else in it may use them."""

    def unless_put_off(self, seconds: float) -> None:
        """Write all stacks to standard error and end, unless this is called again in time; needs no interpreter."""
        faulthandler.dump_traceback_later(seconds, exit=True)

    def at_the_latest(self, seconds: float) -> None:
        """End by SIGALRM, whatever waits for what; 0 takes it back."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def now(self) -> None:
        """End without any of what comes at the end of a program: it would wait for those who are stuck."""
        sys.stderr.flush()
        os._exit(1)

    def never(self) -> None:
        """Take both timers back."""
        self.at_the_latest(0)
        faulthandler.cancel_dump_traceback_later()


class Watchdog:
    """Looks after the threads of a process, on one of its own.

    Args:
        health: told who is stuck.
        silence_s: how long no Python code may run, in seconds; asked again and again.
        in_work: log fields of every record in work, by its tag.
        end: of the process.
    """

    def __init__(
        self,
        health: Health,
        silence_s: Callable[[], float],
        in_work: Callable[[], Mapping[Hashable, Mapping[str, Any]]],
        end: End | None = None,
    ) -> None:
        self._health = health
        self._silence_s = silence_s
        self._in_work = in_work
        self._end = end or End()
        self._watched: list[Callable[[], Sequence[Doing]]] = []
        self._vigil = Vigil(most_s=2 * LOOK_S)  # later than that, the process was frozen or had no processor
        self._found_s: float | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def watch(self, doing: Callable[[], Sequence[Doing]]) -> None:
        """Look at these threads, too; ``doing`` may be called from any thread."""
        self._watched.append(doing)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; the process lives on."""
        self._closing.set()
        self._thread.join(GRACE_S)
        self._end.never()

    def put_off(self) -> None:
        """Set the interpreter's timer anew, to the time that is right from now on. Any thread may."""
        self._end.unless_put_off(self._silence_s())

    def look(self, now: float) -> None:
        """Look once.

        Args:
            now: monotonic seconds.
        """
        self.put_off()
        overdue = self._vigil.look([each for doing in self._watched for each in doing()], now)
        self._health.stuck(str(overdue[0]) if overdue else None)
        if not overdue:
            self._relax()
        elif self._found_s is None:
            self._found_s = now
            self._end.at_the_latest(GRACE_S + WRITE_S)
            self._report(overdue)
        elif now - self._found_s >= GRACE_S:
            log.critical("stuck, so the process ends; what is not committed is read again", reason=str(overdue[0]))
            self._end.now()

    def _run(self) -> None:
        while not self._closing.wait(LOOK_S):
            self.look(time.monotonic())

    def _relax(self) -> None:
        if self._found_s is not None:
            self._found_s = None
            self._end.at_the_latest(0)
            log.warning("no longer stuck, so the process goes on")

    def _report(self, overdue: Sequence[Overdue]) -> None:
        in_work = dict(self._in_work())
        for each in overdue:
            records = [dict(in_work.pop(tag, {"tag": str(tag)})) for tag in each.doing.tags]
            log.error("stuck", thread=each.doing.thread, reason=str(each), records=records, ends_in_s=GRACE_S)
        if in_work:
            others = [dict(fields) for fields in in_work.values()][:MOST_RECORDS]
            log.error("also in work", count=len(in_work), records=others)
        for thread, stack in all_stacks():
            log.error("stack", thread=thread, stack=stack)
