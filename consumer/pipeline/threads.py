"""A stage made of threads, for work that blocks: downloads, and waiting for decoder processes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic

from consumer.errors import RecordingError, StageDied, StopError
from consumer.stage import UNLIMITED, Deadline, Doing, JobT, Outcome, ResultT


class ThreadStage(Generic[JobT, ResultT]):
    """Runs a blocking function on several threads; keeps the contract of `consumer.stage.Stage`.

    A `RecordingError` of the function is the outcome of its job. Anything else that it raises is a fault of the
    program or of its surroundings: the worker ends, and `collect` raises.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[JobT], ResultT],
        *,
        workers: int,
        notify: Callable[[], None],
        deadline: Deadline = UNLIMITED,
    ) -> None:
        """Make the stage; nothing runs before `start`.

        Args:
            name: of the stage, as logs and metrics show it.
            work: turns a job into a result; called on several threads at once.
            workers: how many threads.
            notify: called after each outcome; must not block.
            deadline: of one job, beyond every time limit that the function itself keeps.
        """
        self.name = name
        self._work = work
        self._notify = notify
        self._deadline = deadline
        self._room = workers  # as many jobs as workers: whatever waits, waits where it can still be dropped
        # An unbounded queue cannot block; `_room` bounds it. None tells a worker to end.
        self._jobs: queue.SimpleQueue[tuple[Hashable, JobT] | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome[ResultT]] = queue.SimpleQueue()
        self._death: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        self._doing: list[Doing | None] = [None] * workers  # each worker writes its own place

    def start(self) -> None:
        """Start the threads. They are daemons: one stuck in a download must not keep a stopped process alive."""
        for thread in self._threads:
            thread.start()

    def submit(self, tag: Hashable, job: JobT) -> bool:
        """Take a job if a worker is free for it."""
        if self._room == 0:
            return False
        self._room -= 1
        self._jobs.put((tag, job))
        return True

    def collect(self) -> list[Outcome[ResultT]]:
        """Outcomes since the last call; raises `StopError` when a worker ended by itself."""
        outcomes: list[Outcome[ResultT]] = []
        while True:
            try:
                outcome = self._outcomes.get_nowait()
            except queue.Empty:
                break
            self._room += 1
            outcomes.append(outcome)
        if isinstance(self._death, StopError):
            raise self._death
        if self._death is not None:
            raise StageDied(f"stage {self.name} died: {self._death!r}") from self._death
        return outcomes

    def cancel(self, tag: Hashable) -> None:
        """Jobs wait for no longer than it takes a free worker to pick them up, so there is nothing to forget."""

    def close(self, timeout_s: float) -> None:
        """Let the workers finish what they do, at most so long."""
        deadline = time.monotonic() + timeout_s
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def doing(self) -> list[Doing]:
        """The job of each worker that has one."""
        return [doing for doing in self._doing if doing is not None]

    def _run(self, number: int) -> None:
        name = self._threads[number].name
        while (item := self._jobs.get()) is not None:
            tag, job = item
            began = time.monotonic()
            self._doing[number] = Doing(name, "at one recording", began, self._deadline, (tag,))
            try:
                value: ResultT | RecordingError = self._work(job)
            except RecordingError as error:
                value = error
            except BaseException as death:  # noqa: BLE001 - supervised: `collect` raises it on the loop thread
                self._death = death
                self._notify()
                return
            finally:
                self._doing[number] = None
            self._outcomes.put(Outcome(tag, value, round((time.monotonic() - began) * 1000)))
            self._notify()
