"""The engine as a stage of the pipeline: one thread that alone touches the models that serve.

Models are replaced while it works: new ones are loaded beside those that serve, by another thread, and are handed over
between two batches. A recording is heard by the same models from beginning to end, so those that were replaced stay
until the last recording that they began has ended.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

from consumer.engine.api import EngineJob, EngineObserver
from consumer.engine.prepare import Preparation, explained
from consumer.errors import ModelUnavailable, StageDied
from consumer.settings import EngineSettings
from consumer.stage import Deadline, Doing, Outcome
from consumer.transcript.types import ModelInfo, Recognition

if TYPE_CHECKING:
    from consumer.engine.work import Work

CAPACITY = 1024
"""Recordings that may be in the engine at once; each costs a file mapping and little else."""

MEMORY_S = 5.0
"""How often the GPU is asked for its memory, while there is work."""


class Engine:
    """Speech to words for many recordings at once; implements `Stage[EngineJob, Recognition]`.

    Args:
        settings: models, device, and how large a batch may get.
        notify: called from the engine's thread when there is something to collect; must not block.
        observer: told what the engine does.

    Raises:
        UsageError: the reference recording cannot be used.
    """

    name = "engine"
    model: ModelInfo | None = None
    """Which models hear what begins now; None before `start` has returned."""

    def __init__(
        self,
        settings: EngineSettings,
        notify: Callable[[], None] | None = None,
        observer: EngineObserver | None = None,
    ) -> None:
        self._settings = settings
        self._notify = notify or _nobody
        self._observer = observer or EngineObserver()
        self._preparation = Preparation(settings, self._observer)
        self._memory_told_s = -math.inf
        self._changed = threading.Condition()  # guards all below
        self._inbox: dict[Hashable, EngineJob] = {}
        self._cancelled: set[Hashable] = set()
        self._outbox: deque[Outcome[Recognition]] = deque()
        self._inside = 0
        self._closing = False
        self._ready = False
        self._death: BaseException | None = None
        self._dying_with: tuple[Hashable, ...] = ()
        self._thread: threading.Thread | None = None
        self._successor: Work | None = None
        self._leaving: ModelInfo | None = None
        self._replacing = threading.Lock()
        # All below is written by the engine's thread, without the condition.
        self._doing: Doing | None = None
        self._works: tuple[Work, ...] = ()
        """Recordings in work, by the models that hear them; the last are those that serve."""

    def start(self) -> None:
        """Load the models in the engine's thread and run each once; blocks until they are ready.

        Raises:
            ModelUnavailable: a model cannot be had; the message names its setting and what to do.
        """
        thread = self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._death is not None)
            death = self._death
        if death is None:
            return
        thread.join()
        raise explained(death) from death

    def replace(self, settings: EngineSettings) -> ModelInfo:
        """Load other models beside those that serve, check them, and let them hear what begins from then on.

        Blocks, and may be called from any thread but the engine's. Whatever goes wrong, the models that serve stay.

        Args:
            settings: which models; all else stays as the engine was made with.

        Returns:
            What serves now; the same as before when the settings name nothing else.

        Raises:
            ModelUnavailable: a model cannot be had, memory has no room for it, it does not understand the reference
                recording, or another replacement goes on.
        """
        if not self._replacing.acquire(blocking=False):
            raise ModelUnavailable("Models are being replaced already; try again when that is done.")
        try:
            serving = self._replaceable()
            work = self._preparation.beside(settings, serving)
            if work is not None:
                self._hand_to_thread(work)
                serving = work.model
            return serving
        except ModelUnavailable:
            raise
        except Exception as cause:
            raise explained(cause) from cause
        finally:
            self._replacing.release()

    def submit(self, tag: Hashable, job: EngineJob) -> bool:
        """Take a recording. Never blocks; false when the engine is full, closing, or dead."""
        with self._changed:
            if self._closing or self._death is not None or not self._ready or self._inside >= CAPACITY:
                return False
            self._inbox[tag] = job
            self._inside += 1
            self._changed.notify_all()
            return True

    def collect(self) -> list[Outcome[Recognition]]:
        """Outcomes since the last call. Never blocks.

        Raises:
            StageDied: the engine's thread ended by itself, and all its outcomes were collected.
        """
        with self._changed:
            outcomes = list(self._outbox)
            self._outbox.clear()
            if not outcomes and self._death is not None:
                tags = ", ".join(map(str, self._dying_with)) or "none"
                raise StageDied(
                    f"The engine died of {type(self._death).__name__}: {self._death} (recordings in its hands: {tags})."
                ) from self._death
            return outcomes

    def cancel(self, tag: Hashable) -> None:
        """Forget a recording, begun or not. Never blocks; an outcome may still come."""
        with self._changed:
            if self._inbox.pop(tag, None) is not None:
                self._inside -= 1
            else:
                self._cancelled.add(tag)
                self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Stop after the batch in work; what has not ended by then is abandoned. Blocks up to ``timeout_s``."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def doing(self) -> list[Doing]:
        """The models' loading, or the round of work that goes on, with the recordings of its batch."""
        doing = self._doing
        return [] if doing is None else [replace(doing, tags=self._batch_tags())]

    # --- replacing models: the caller's thread ----------------------------------------------------------------------

    def _replaceable(self) -> ModelInfo:
        """What serves, and may be replaced."""
        with self._changed:
            if self.model is None or self._closing or self._death is not None:
                raise ModelUnavailable("The engine is not at work; there is nothing to replace.")
            if self._leaving is not None:
                raise ModelUnavailable(
                    f"Recordings that {self._leaving.name}@{self._leaving.revision} began have not ended yet; try "
                    "again when they have."
                )
            return self.model

    def _hand_to_thread(self, work: Work) -> None:
        with self._changed:
            self._successor = work
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.model is work.model or self._closing or self._death is not None)
            if self.model is not work.model:
                raise ModelUnavailable("The engine ended before it could take over other models.")

    # --- the engine's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        settings = self._settings
        self._begin("loading the models", Deadline(settings.load_seconds, "engine.load_seconds"))
        try:
            self._serve(self._preparation.first())
            self._tell_memory()
            self._doing = None
            with self._changed:
                self._ready = True
                self._changed.notify_all()
        except BaseException as cause:  # noqa: BLE001 - start() raises it
            self._die(cause, ())
            return
        try:
            while self._take_up():
                for work in self._works:
                    if not work.idle_s():
                        self._hand_over(work.round())
                self._let_go()
                self._tell_memory()
        except BaseException as cause:  # noqa: BLE001 - collect() raises it
            self._die(cause, self._batch_tags())

    def _serve(self, work: Work) -> None:
        """Let its models hear what begins from now on."""
        self._works = (*self._works, work)
        self.model = work.model
        self._observer.serving(work.model)

    def _let_go(self) -> None:
        """Forget the models that were replaced once nothing of theirs is in work."""
        first, *later = self._works
        if later and not first:
            self._works = tuple(later)
            del first
            gc.collect()  # FunASR's modules refer to each other, and hold the memory that the next ones will need
            with self._changed:
                self._leaving = None

    def _batch_tags(self) -> tuple[Hashable, ...]:
        return tuple(tag for work in self._works for tag in work.batch_tags)

    def _take_up(self) -> bool:
        """Wait for something to do and take up what is new; false when the engine is closing."""
        idle_s = min(work.idle_s() for work in self._works)
        self._doing = None
        if idle_s > 0:
            self._observer.busy(False)
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or self._inbox or self._cancelled or self._successor is not None,
                None if math.isinf(idle_s) else idle_s,
            )
            if self._closing:
                return False
            new, self._inbox = self._inbox, {}
            cancelled, self._cancelled = self._cancelled, set()
            if (successor := self._successor) is not None:
                self._leaving = self.model
                self._serve(successor)
                self._successor = None
                self._changed.notify_all()
        self._observer.busy(True)
        self._begin("in one round of work", Deadline(self._settings.stall_seconds, "engine.stall_seconds"))
        for tag in cancelled:
            if any(work.drop(tag) for work in self._works):
                with self._changed:
                    self._inside -= 1
        for tag, job in new.items():
            self._works[-1].begin(tag, job)
        return True

    def _begin(self, what: str, deadline: Deadline) -> None:
        self._doing = Doing("engine", what, time.monotonic(), deadline)

    def _tell_memory(self) -> None:
        device = self._works[-1].model.device
        now = time.monotonic()
        if device != "cpu" and now >= self._memory_told_s + MEMORY_S:
            import torch  # noqa: PLC0415 - slow

            from consumer.engine.device import memory  # noqa: PLC0415 - likewise

            self._memory_told_s = now
            self._observer.memory(memory(torch.device(device)))

    def _hand_over(self, outcomes: list[Outcome[Recognition]]) -> None:
        if outcomes:
            with self._changed:
                self._outbox.extend(outcomes)
                self._inside -= len(outcomes)
            self._notify()

    def _die(self, cause: BaseException, tags: tuple[Hashable, ...]) -> None:
        self._doing = None
        with self._changed:
            self._death = cause
            self._dying_with = tags
            self._changed.notify_all()
        self._notify()


def _nobody() -> None:
    """Nobody wants to be told."""
