from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Hashable, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumer.operations import watchdog as watchdog_module
from consumer.operations.health import Health
from consumer.operations.watchdog import GRACE_S, LOOK_S, MOST_RECORDS, End, Watchdog
from consumer.stage import Deadline, Doing

DEADLINE = Deadline(5.0, "engine.stall_seconds")


class FakeEnd(End):
    """Notes what the process would have met with."""

    def __init__(self) -> None:
        self.put_off = threading.Semaphore(0)
        self.silences: list[float] = []
        self.alarm = 0.0
        self.ends = 0
        self.over = False

    def unless_put_off(self, seconds: float) -> None:
        self.silences.append(seconds)
        self.put_off.release()

    def at_the_latest(self, seconds: float) -> None:
        self.alarm = seconds

    def now(self) -> None:
        self.ends += 1

    def never(self) -> None:
        self.over = True


class Guarded:
    """A watchdog over one thread that a test lets work or stand."""

    def __init__(self, in_work: Mapping[Hashable, Mapping[str, Any]] | None = None) -> None:
        self.health = Health()
        self.end = FakeEnd()
        self.doing: list[Doing] = []
        self.silence_s = 1800.0
        self.now = 1000.0
        self.watchdog = Watchdog(self.health, lambda: self.silence_s, lambda: in_work or {}, self.end)
        self.watchdog.watch(lambda: self.doing)
        self.watchdog.look(self.now)

    def begin(self, *tags: Hashable) -> None:
        self.doing = [Doing("engine", "in one round of work", self.now, DEADLINE, tags)]

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            self.now += LOOK_S
            self.watchdog.look(self.now)


def test_work_that_goes_on_is_left_alone() -> None:
    guarded = Guarded()
    with capture_logs() as lines:
        for _ in range(20):
            guarded.begin()
            guarded.pass_s(3)
        guarded.doing = []
        guarded.pass_s(60)
    assert lines == []
    assert guarded.health.live() is None
    assert guarded.end.ends == 0


def test_a_stuck_thread_fails_the_probe_is_logged_and_ends_the_process_after_a_grace() -> None:
    records: dict[Hashable, dict[str, Any]] = {
        tag: {"topic": "uploads", "offset": tag, "key": f"{tag}.wav"} for tag in range(3)
    }
    guarded = Guarded(records)
    guarded.begin(1, "unknown")
    guarded.pass_s(1)
    with capture_logs() as lines:
        guarded.pass_s(5)
    reason = "thread engine has been in one round of work for 6.0 s, more than 5 s (see engine.stall_seconds)"
    assert guarded.health.live() == reason
    stuck, also, *stacks = lines
    assert (stuck["event"], stuck["log_level"], stuck["reason"]) == ("stuck", "error", reason)
    assert stuck["records"] == [records[1], {"tag": "unknown"}]
    assert (also["count"], also["records"]) == (2, [records[0], records[2]])
    assert {line["event"] for line in stacks} == {"stack"}
    (own,) = [line["stack"] for line in stacks if line["thread"] == threading.current_thread().name]
    assert "test_a_stuck_thread_fails_the_probe" in own
    assert guarded.end.alarm > GRACE_S, "even if the log cannot be written"

    with capture_logs() as lines:
        guarded.pass_s(GRACE_S - 1)
        assert guarded.end.ends == 0
        assert lines == [], "it is said once"
        guarded.pass_s(1)
    assert guarded.end.ends == 1
    assert [line["log_level"] for line in lines] == ["critical"]


def test_work_that_comes_to_an_end_within_the_grace_saves_the_process() -> None:
    guarded = Guarded()
    guarded.begin()
    with capture_logs() as lines:
        guarded.pass_s(8)
        assert lines[0]["event"] == "stuck"
        guarded.begin()
        guarded.pass_s(1)
        assert guarded.health.live() is None
        assert guarded.end.alarm == 0.0
        guarded.doing = []
        guarded.pass_s(2 * GRACE_S)
    assert lines[-1]["event"] == "no longer stuck, so the process goes on"
    assert guarded.end.ends == 0


def test_a_backlog_is_not_written_out_whole() -> None:
    guarded = Guarded({tag: {"offset": tag} for tag in range(3 * MOST_RECORDS)})
    guarded.begin()
    with capture_logs() as lines:
        guarded.pass_s(7)
    (also,) = [line for line in lines if line["event"] == "also in work"]
    assert also["count"] == 3 * MOST_RECORDS
    assert len(also["records"]) == MOST_RECORDS


def test_every_look_puts_the_end_off_for_as_long_as_no_code_may_run_now() -> None:
    guarded = Guarded()
    guarded.pass_s(1)
    guarded.silence_s = 300.0
    guarded.pass_s(1)
    assert guarded.end.silences == [1800.0, 1800.0, 300.0]


def test_it_looks_on_a_thread_of_its_own_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "LOOK_S", 0.01)
    guarded = Guarded()
    guarded.watchdog.start()
    for _ in range(3):
        assert guarded.end.put_off.acquire(timeout=30)
    guarded.watchdog.close()
    assert guarded.end.over
    assert "watchdog" not in [thread.name for thread in threading.enumerate()]


STUCK = """
import contextlib
import os
import signal
import subprocess
import sys
import threading
from consumer.operations import watchdog
from consumer.operations.health import Health
from consumer.operations.logging import configure_logging
from consumer.stage import Deadline, Doing

configure_logging("info", "json")
watchdog.LOOK_S, watchdog.GRACE_S, watchdog.WRITE_S = 0.05, 0.2, 1.0
doing = Doing("engine", "in one round of work", 0.0, Deadline(0.1, "engine.stall_seconds"))
guard = watchdog.Watchdog(Health(), lambda: 60.0, dict)
guard.watch(lambda: [doing])
guard.start()
threading.Event().wait()
"""


def end_of_a_stuck_process(stderr: int) -> int:
    return subprocess.run([sys.executable, "-c", STUCK], stderr=stderr, timeout=60, check=False).returncode


def test_the_process_ends_with_exit_code_1() -> None:
    assert end_of_a_stuck_process(subprocess.DEVNULL) == 1


def test_the_process_ends_even_when_nobody_reads_its_log() -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, bytes(4096))
        os.set_blocking(writing, True)
        assert end_of_a_stuck_process(writing) == -signal.SIGALRM
    finally:
        os.close(reading)
        os.close(writing)
