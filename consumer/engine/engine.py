"""The engine as a stage of the pipeline: one thread that alone touches the models."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from consumer.engine.api import EngineJob, EngineObserver
from consumer.engine.quiet import quiet_libraries
from consumer.errors import ModelUnavailable, StageDied
from consumer.settings import EngineSettings
from consumer.stage import Deadline, Doing, Outcome
from consumer.transcript.types import SAMPLE_RATE, ModelInfo, Recognition

if TYPE_CHECKING:
    from consumer.engine.load import Models
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
    """

    name = "engine"
    model: ModelInfo
    """Which models speak; known once `start` has returned."""

    def __init__(
        self,
        settings: EngineSettings,
        notify: Callable[[], None] | None = None,
        observer: EngineObserver | None = None,
    ) -> None:
        self._settings = settings
        self._notify = notify or _nobody
        self._observer = observer or EngineObserver()
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
        self._doing: Doing | None = None  # written by the engine's thread, without the condition
        self._batch_tags: Callable[[], tuple[Hashable, ...]] = tuple

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
        if isinstance(death, ModelUnavailable):
            raise death
        raise ModelUnavailable(
            f"The engine could not be made ready: {type(death).__name__}: {death}. Check that torch and funasr are "
            "installed as this package asks for, and engine.device and engine.dtype."
        ) from death

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

    # --- the engine's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        settings = self._settings
        self._begin("loading the models", Deadline(settings.load_seconds, "engine.load_seconds"))
        try:
            with quiet_libraries():
                from consumer.engine.load import load_models  # noqa: PLC0415 - slow: torch and FunASR
            from consumer.engine.work import Work  # noqa: PLC0415 - nothing to do without models

            models = load_models(settings)
            warm_up(models)
            self.model = models.info
            work = Work(
                models,
                settings.batch_seconds,
                settings.batch_wait_ms / 1000,
                overlap=models.info.device != "cpu",
                observer=self._observer,
            )
            self._tell_memory(models.info.device)
            self._batch_tags = lambda: work.batch_tags
            self._doing = None
            with self._changed:
                self._ready = True
                self._changed.notify_all()
        except BaseException as cause:  # noqa: BLE001 - start() raises it
            self._die(cause, ())
            return
        try:
            while self._take_up(work):
                self._hand_over(work.round())
                self._tell_memory(models.info.device)
        except BaseException as cause:  # noqa: BLE001 - collect() raises it
            self._die(cause, work.batch_tags)

    def _take_up(self, work: Work) -> bool:
        """Wait for something to do and take up what is new; false when the engine is closing."""
        idle_s = work.idle_s()
        self._doing = None
        if idle_s > 0:
            self._observer.busy(False)
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or self._inbox or self._cancelled, None if math.isinf(idle_s) else idle_s
            )
            if self._closing:
                return False
            new, self._inbox = self._inbox, {}
            cancelled, self._cancelled = self._cancelled, set()
        self._observer.busy(True)
        self._begin("in one round of work", Deadline(self._settings.stall_seconds, "engine.stall_seconds"))
        for tag in cancelled:
            if work.drop(tag):
                with self._changed:
                    self._inside -= 1
        for tag, job in new.items():
            work.begin(tag, job)
        return True

    def _begin(self, what: str, deadline: Deadline) -> None:
        self._doing = Doing("engine", what, time.monotonic(), deadline)

    def _tell_memory(self, device: str) -> None:
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


def warm_up(models: Models) -> None:
    """Run every model once, so that the first recording does not pay for it and a broken model shows at the start."""
    seconds = 2
    noise = np.random.default_rng(0).normal(0, 300, seconds * SAMPLE_RATE).astype(np.int16)
    models.detector.detect(noise)
    models.recogniser.recognise(models.detector.fbank([noise, noise[: SAMPLE_RATE // 2]]), [0, 0])
    if models.punctuator is not None:
        models.punctuator.punctuate(["一"] * 25)


def _nobody() -> None:
    """Nobody wants to be told."""
