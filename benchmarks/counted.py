"""The service in this process, until it has done so many recordings, and what those cost."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from consumer.app import open_service
from consumer.events.recording import Recording
from consumer.pipeline.observer import Ended, Fate, Observer
from consumer.pipeline.service import Service
from consumer.settings import Settings


@dataclass(frozen=True, slots=True)
class Cost:
    """What recordings cost, from the first that was taken into work to the last acknowledgement.

    Attributes:
        seconds: by the clock.
        cpu_s: of all threads of this process.
        children_cpu_s: of its decoder processes, their start included.
    """

    seconds: float
    cpu_s: float
    children_cpu_s: float


class _Counter(Observer):
    """Stops the service when enough recordings are acknowledged."""

    def __init__(self, count: int, begun: Callable[[], None]) -> None:
        self.service: Service | None = None
        self.began: tuple[float, float] | None = None
        self.ended_at = (0.0, 0.0)
        self.failures: list[str] = []
        self._left = count
        self._begun = begun

    def admitted(self, tag: Hashable, recording: Recording) -> None:
        """The first starts the clocks."""
        if self.began is None:
            self._begun()
            self.began = (time.perf_counter(), time.process_time())

    def ended(self, ended: Ended) -> None:
        """A failure spoils the measurement."""
        if isinstance(ended.result, Exception):
            self.failures.append(str(ended.result))

    def acknowledged(self, tag: Hashable, fate: Fate) -> None:
        """The last stops them, and the service."""
        self._left -= 1
        if self._left == 0 and self.service is not None:
            self.ended_at = (time.perf_counter(), time.process_time())
            self.service.stop()


def run_counted(settings: Settings, count: int, begun: Callable[[], None] = lambda: None) -> Cost:
    """Run the service until it has done so many recordings.

    Args:
        settings: of the service.
        count: how many.
        begun: called when the first is taken into work.

    Raises:
        RuntimeError: a recording failed.
    """
    counter = _Counter(count, begun)
    with open_service(settings, observer=counter) as service:
        counter.service = service
        service.run()
    if counter.failures or counter.began is None:
        raise RuntimeError(f"{len(counter.failures)} recordings failed: {counter.failures[:3]}")
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # complete: the decoder processes are gone
    return Cost(
        seconds=counter.ended_at[0] - counter.began[0],
        cpu_s=counter.ended_at[1] - counter.began[1],
        children_cpu_s=children.ru_utime + children.ru_stime,
    )
