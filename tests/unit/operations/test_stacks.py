from __future__ import annotations

import threading

from consumer.operations.stacks import all_stacks


def waits_here(ready: threading.Event, gate: threading.Event) -> None:
    ready.set()
    gate.wait(30)


def test_every_thread_is_named_with_its_calls_the_innermost_first() -> None:
    ready, gate = threading.Event(), threading.Event()
    thread = threading.Thread(target=waits_here, args=(ready, gate), name="waiter")
    thread.start()
    assert ready.wait(10)
    stacks = dict(all_stacks())
    gate.set()
    thread.join()
    calls = [line.rpartition(" ")[2] for line in stacks["waiter"].splitlines()]
    assert "waits_here" in calls
    assert calls.index("waits_here") < calls.index("run")
    assert "test_stacks.py:" in stacks["waiter"]
    assert "all_stacks" in stacks[threading.current_thread().name]
