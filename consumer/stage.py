"""The one contract that every stage of the pipeline keeps, whatever it is made of (threads, processes, a device).

A stage takes jobs under a tag and hands back outcomes under the same tag, in any order. The loop that drives it owns
all state about records; a stage owns none. Jobs and results are immutable values.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from consumer.errors import RecordingError

JobT = TypeVar("JobT")
JobT_contra = TypeVar("JobT_contra", contravariant=True)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[ResultT]):
    """How one job ended.

    Attributes:
        tag: what the job was submitted under.
        value: the stage's product, or why there is none.
        elapsed_ms: wall time the stage worked on the job, waiting in its queue not counted.
    """

    tag: Hashable
    value: ResultT | RecordingError
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long a piece of work may take before whoever does it counts as stuck.

    Attributes:
        seconds: far more than the work ever takes when all is well.
        setting: its name, or the name of that which it follows from.
    """

    seconds: float
    setting: str


UNLIMITED = Deadline(math.inf, "")


@dataclass(frozen=True, slots=True)
class Doing:
    """What a thread works on now.

    Attributes:
        thread: its name.
        what: the work, as a sentence goes on after "has been": ``loading the models``.
        since_s: when it began, monotonic seconds.
        deadline: when it counts as stuck.
        tags: of the jobs it has in hand.
    """

    thread: str
    what: str
    since_s: float
    deadline: Deadline
    tags: tuple[Hashable, ...] = ()


class Stage(Protocol[JobT_contra, ResultT]):
    """Asynchronous work on recordings; all methods but `doing` are called from one thread, the loop's."""

    name: str

    def start(self) -> None:
        """Make ready for jobs. May block (a model loads); raises `StopError` when it cannot."""

    def submit(self, tag: Hashable, job: JobT_contra) -> bool:
        """Take a job. Never blocks; false when there is no room now, and then nothing was taken."""

    def collect(self) -> list[Outcome[ResultT]]:
        """Outcomes since the last call. Never blocks; raises `StopError` when a worker ended by itself."""

    def cancel(self, tag: Hashable) -> None:
        """Forget a job if it has not begun. An outcome may still come; the caller drops it. Never blocks."""

    def close(self, timeout_s: float) -> None:
        """Stop the workers; what has not finished within the time is abandoned. Blocks up to that long."""

    def doing(self) -> Sequence[Doing]:
        """What its threads work on now; one that waits for work does nothing. Any thread may ask; never blocks."""
