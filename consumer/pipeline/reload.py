"""Models replaced while the service runs, when a person asks: SIGHUP, or ``POST /-/reload`` on the admin port."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Literal, Protocol

import orjson
import structlog

from consumer.errors import TingxieError
from consumer.operations.server import Answer, Routes
from consumer.settings import EngineSettings, Settings
from consumer.transcript.types import ModelInfo

log = structlog.get_logger("tingxie")

NAMES = ("model", "model_revision", "vad", "vad_revision", "punctuation", "punctuation_revision", "dtype")
"""The engine's settings that a reload takes up."""

LOADING_NICENESS = 10
"""Of the thread that loads, and of those that compute for it."""

ReloadOutcome = Literal["replaced", "unchanged", "refused"]


class Replaceable(Protocol):
    """The engine."""

    model: ModelInfo | None
    """Which models hear what begins now; None before there are any."""

    def replace(self, settings: EngineSettings) -> ModelInfo:
        """Load other models beside those that serve, check them, and let them hear what begins from then on."""


class ModelReload:
    """Reads the settings again and has the engine replace its models by those that they name.

    All methods may be called from any thread, and none blocks but `close`.

    Args:
        engine: whose models are replaced.
        settings: what it was made with.
        load: reads the settings again; raises `TingxieError`.
        told: told of every outcome.
    """

    def __init__(
        self,
        engine: Replaceable,
        settings: EngineSettings,
        load: Callable[[], Settings],
        told: Callable[[ReloadOutcome], object],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._load = load
        self._told = told
        self._thread: threading.Thread | None = None
        self._beginning = threading.Lock()
        self._last: dict[str, object] = {}

    def request(self) -> None:
        """Begin, unless a reload goes on already. What comes of it is logged, counted, and told by `state`."""
        if not self._beginning.acquire(blocking=False):
            return  # a signal may come while the admin port begins one
        try:
            if self._thread is None or not self._thread.is_alive():
                # A thread that the interpreter does not wait for: a download may hang.
                thread = threading.Thread(target=self._run, name="reload", daemon=True)
                thread.start()
                self._thread = thread
        finally:
            self._beginning.release()

    def state(self) -> dict[str, object]:
        """Which models serve, whether a reload goes on, and what came of the last one."""
        going_on = self._thread is not None and self._thread.is_alive()
        return {**_named(self._engine.model), "reloading": going_on, "last": self._last}

    def routes(self) -> Routes:
        """``POST /-/reload`` requests one, ``GET /-/reload`` tells the state; both as JSON."""

        def tell(status: HTTPStatus) -> Answer:
            return Answer(status, orjson.dumps(self.state(), option=orjson.OPT_APPEND_NEWLINE), "application/json")

        def begin() -> Answer:
            self.request()
            return tell(HTTPStatus.ACCEPTED)

        return {"POST /-/reload": begin, "GET /-/reload": lambda: tell(HTTPStatus.OK)}

    def close(self, timeout_s: float) -> None:
        """Wait so long for a reload that goes on: the interpreter should not end while libraries load."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own: what serves comes first
            with suppress(PermissionError):  # it has less already, which an ordinary user may not raise
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADING_NICENESS)
        begun = time.monotonic()
        outcome, more = self._replace()
        if outcome == "refused":
            gc.collect()  # models refer to themselves, and would keep the memory that the next ones need
        self._last = {"outcome": outcome, "seconds": round(time.monotonic() - begun, 1), **more}
        self._told(outcome)

    def _replace(self) -> tuple[ReloadOutcome, dict[str, object]]:
        before = self._engine.model
        named = _named(before)
        log.info("loading models", **named)
        try:
            read = self._load().engine
            wanted = self._settings.model_copy(update={each: getattr(read, each) for each in NAMES})
            after = self._engine.replace(wanted)
        except Exception as error:  # whatever it is, what serves goes on
            log.error(  # noqa: TRY400 - of ours the message says all
                "models stay: what was to replace them was refused",
                error=str(error),
                exc_info=not isinstance(error, TingxieError),
                **named,
            )
            return "refused", {"error": str(error)}
        if after == before:
            log.info("models stay: the settings name the same ones", **named)
            return "unchanged", {}
        log.info("models replaced", **named, by=after.name, by_revision=after.revision)
        return "replaced", {}


def _named(model: ModelInfo | None) -> dict[str, object]:
    return {"model": model and model.name, "revision": model and model.revision}
