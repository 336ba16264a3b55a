from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from consumer.errors import CredentialsRefused, ObjectMissing, StageDied
from consumer.pipeline.threads import ThreadStage
from consumer.stage import Deadline, Outcome


@contextmanager
def running(work: Callable[[int], int], workers: int = 2) -> Iterator[tuple[ThreadStage[int, int], threading.Event]]:
    wake = threading.Event()
    stage = ThreadStage("work", work, workers=workers, notify=wake.set)
    stage.start()
    try:
        yield stage, wake
    finally:
        stage.close(5.0)


def collect(stage: ThreadStage[int, int], wake: threading.Event, count: int) -> list[Outcome[int]]:
    outcomes: list[Outcome[int]] = []
    while len(outcomes) < count:
        assert wake.wait(10), "no outcome came"
        wake.clear()
        outcomes += stage.collect()
    return outcomes


def test_results_come_back_under_their_tags() -> None:
    with running(lambda job: job * 2) as (stage, wake):
        assert stage.submit("a", 1)
        assert stage.submit("b", 2)
        assert {each.tag: each.value for each in collect(stage, wake, 2)} == {"a": 2, "b": 4}


def test_there_is_room_for_as_many_jobs_as_workers() -> None:
    gate = threading.Event()

    def wait(job: int) -> int:
        gate.wait(10)
        return job

    with running(wait) as (stage, wake):
        assert stage.submit("a", 1)
        assert stage.submit("b", 2)
        assert not stage.submit("c", 3)
        gate.set()
        collect(stage, wake, 1)
        assert stage.submit("c", 3)
        collect(stage, wake, 1)


def test_a_worker_tells_what_it_is_at() -> None:
    begun, gate, wake = threading.Semaphore(0), threading.Event(), threading.Event()

    def wait(job: int) -> int:
        begun.release()
        gate.wait(10)
        return job

    deadline = Deadline(60.0, "limits.fetch_seconds")
    stage = ThreadStage("fetch", wait, workers=2, notify=wake.set, deadline=deadline)
    stage.start()
    assert stage.doing() == []
    stage.submit("a", 1)
    stage.submit("b", 2)
    for _ in range(2):
        assert begun.acquire(timeout=10)
    both = stage.doing()
    assert {each.tags for each in both} == {("a",), ("b",)}
    assert {(each.thread, each.deadline) for each in both} == {("fetch-0", deadline), ("fetch-1", deadline)}
    gate.set()
    collect(stage, wake, 2)
    assert stage.doing() == []
    stage.close(10.0)


def test_an_error_of_the_recording_is_an_outcome() -> None:
    error = ObjectMissing("gone")

    def fail(_: int) -> int:
        raise error

    with running(fail) as (stage, wake):
        stage.submit("a", 1)
        (outcome,) = collect(stage, wake, 1)
        assert outcome.value is error
        assert stage.submit("b", 1), "the worker goes on"
        collect(stage, wake, 1)


@pytest.mark.parametrize(
    ("cause", "raised"), [(ValueError("a bug"), StageDied), (CredentialsRefused("no"), CredentialsRefused)]
)
def test_any_other_error_is_raised_to_the_loop(cause: Exception, raised: type[Exception]) -> None:
    def fail(_: int) -> int:
        raise cause

    with running(fail) as (stage, wake):
        stage.submit("a", 1)
        assert wake.wait(10)
        with pytest.raises(raised, match=r"a bug|no"):
            stage.collect()


def test_close_does_not_wait_for_a_stuck_worker() -> None:
    gate = threading.Event()

    def wait(job: int) -> int:
        gate.wait(60)
        return job

    wake = threading.Event()
    stage = ThreadStage("work", wait, workers=1, notify=wake.set)
    stage.start()
    stage.submit("a", 1)
    stage.close(0.05)
    gate.set()
    stage.close(10.0)
