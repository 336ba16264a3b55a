"""The clock that looks into the engine: whose time is whose."""

from __future__ import annotations

import time

from benchmarks.fairness import rest_of_running_batch
from benchmarks.gpu import busy_ratio
from benchmarks.inside import STAGES, Batch, StageClock


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_time_of_a_stage_within_another_is_its_own() -> None:
    clock = StageClock()
    inner = clock.wrap("inner", lambda: burn(0.02))

    def work() -> None:
        burn(0.01)
        inner()
        inner()

    clock.wrap("outer", work)()
    assert clock.seconds["inner"] >= 0.04
    assert 0.01 <= clock.seconds["outer"] < clock.seconds["inner"]
    clock.reset()
    assert dict(clock.seconds) == {}


def test_no_function_belongs_to_two_stages() -> None:
    targets = [target for stage in STAGES.values() for target in stage]
    assert len(targets) == len(set(targets))


def test_the_rest_of_the_batch_that_runs() -> None:
    batches = [Batch(0, 2, (1,)), Batch(2, 5, (1,))]
    assert rest_of_running_batch(batches, 1.5) == 0.5
    assert rest_of_running_batch(batches, 2) == 3
    assert rest_of_running_batch(batches, 6) == 0


def test_batches_that_overlap_count_once() -> None:
    assert busy_ratio([Batch(0, 2, (1,)), Batch(1, 3, (1,)), Batch(4, 5, (1,))], 8) == 0.5
