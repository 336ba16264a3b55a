"""The consumers of a run: processes that are killed, frozen and started again, as an orchestrator would."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults.evidence import Absence
from tests.integration.harness import ServiceProcess
from tests.servers.process import log_tail

SERVICE = ("-m", "consumer", "run")
PLAIN = ("-m", "tests.faults.plain")
READY_S = 300.0
LEAVE_S = 60.0
NOTICE_MS = 15_000
"""After a member runs or hears the brokers again, how long it may take to learn that its partitions are gone."""


def now_ms() -> int:
    """Epoch milliseconds."""
    return round(time.time() * 1000)


class Member:
    """One consumer; each of its processes has a name of its own, which its transcripts carry as ``ce_source``."""

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path, command: Sequence[str]) -> None:
        self.name = name
        self.lives = 0
        self.held = False
        """Whether a fault keeps it down; it is not started again before that is over."""
        self.absences: list[Absence] = []
        self.exits: list[str] = []
        self._environment, self._folder, self._command = environment, folder, command
        self.service: ServiceProcess
        self._stopped_ms: int | None = None
        self._expected = False

    @property
    def source(self) -> str:
        """Name of the process that runs now."""
        return f"{self.name}.{self.lives}"

    def launch(self) -> None:
        """Start a process without waiting for it."""
        self.lives += 1
        self._expected = False
        environment = {**self._environment, "TINGXIE_TELEMETRY__CE_SOURCE": self.source}
        self.service = ServiceProcess(environment, self._folder / self.source, self._command)
        self.service.launch()

    def ready(self) -> bool:
        """Whether it has its model and its place in the group; the plain loop does not tell."""
        return self._command == PLAIN or self.service.get("/ready")[0] == 200

    def kill(self) -> None:
        """End it without notice."""
        self.resume()
        self._expected = True
        self.service.process.kill()

    def ask_to_leave(self) -> None:
        """SIGTERM."""
        self._expected = True
        self.service.send(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        self._stopped_ms = now_ms()
        self.service.process.pause()

    def resume(self) -> None:
        """SIGCONT, when it is frozen."""
        if self._stopped_ms is not None:
            self.absences.append(Absence(self.source, self._stopped_ms, now_ms() + NOTICE_MS))
            self._stopped_ms = None
            self.service.process.resume()

    def revive(self) -> None:
        """Start it again when it has ended and nothing keeps it down; note how it ended when nobody made it."""
        if self.held or self.service.process.alive():
            return
        if not self._expected:
            last = (log_tail(self.service.log).strip().splitlines() or ["(no output)"])[-1]
            self.exits.append(f"{self.source} ended by itself with code {self.service.wait(1.0)}: {last}")
        self.launch()


class Members:
    """All consumers of a run.

    Args:
        environments: settings of each.
        folder: for their logs.
        command: what they run.
        prefix: of their names.
    """

    def __init__(
        self, environments: Sequence[Mapping[str, str]], folder: Path, command: Sequence[str], prefix: str = "member"
    ) -> None:
        self.all = [
            Member(f"{prefix}-{number}", environment, folder, command)
            for number, environment in enumerate(environments, start=1)
        ]

    def start(self, watch: Callable[[], None] = lambda: None) -> None:
        """Start all and return when all are ready.

        Args:
            watch: called while waiting; raises to give up.

        Raises:
            TimeoutError: one was not in time; the message has the end of its log.
        """
        for member in self.all:
            member.launch()
        self.wait_until_ready(watch)

    def supervise(self) -> None:
        """Start again what has ended."""
        for member in self.all:
            member.revive()

    def wait_until_ready(self, watch: Callable[[], None] = lambda: None) -> None:
        """Return when all are; what ends meanwhile is started again.

        Raises:
            TimeoutError: one was not in time; the message has the end of its log.
        """
        deadline = time.monotonic() + READY_S
        for member in self.all:
            while not member.ready():
                watch()
                self.supervise()
                if time.monotonic() > deadline:
                    tail = log_tail(member.service.log)
                    raise TimeoutError(f"{member.source} was not ready within {READY_S:.0f} s. Its log ends:\n{tail}")
                time.sleep(0.2)

    def stop(self) -> list[str]:
        """Let all leave in order; what went wrong with it."""
        for member in self.all:
            member.resume()
            if member.service.process.alive():
                member.ask_to_leave()
        wrong = []
        for member in self.all:
            code = member.service.wait(LEAVE_S)
            if code not in {0, -signal.SIGKILL}:
                wrong.append(f"{member.source} left with code {code}")
        return wrong

    @property
    def absences(self) -> list[Absence]:
        """Of each."""
        return [absence for member in self.all for absence in member.absences]

    @property
    def exits(self) -> list[str]:
        """Ends that nobody made."""
        return [line for member in self.all for line in member.exits]

    def close(self) -> None:
        """End all at once."""
        for member in self.all:
            if member.lives and member.service.process.alive():
                member.service.process.resume()
                member.service.process.kill()
