"""The engine, driven like a function: recordings in, when all are transcribed it returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager

from benchmarks.models import ModelFolders
from consumer.engine.api import EngineJob
from consumer.engine.engine import Engine
from consumer.errors import RecordingError
from consumer.settings import EngineSettings
from consumer.transcript.types import Recognition, Track

CLOSE_S = 60.0
"""A batch may take some seconds."""


class RunningEngine:
    """A started engine.

    Args:
        settings: its settings.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._something = threading.Event()
        self._engine = Engine(settings, notify=self._something.set)
        self._engine.start()

    def submit(self, tag: Hashable, track: Track) -> None:
        """Hand the engine a recording."""
        if not self._engine.submit(tag, EngineJob((track,))):
            raise RuntimeError(f"the engine does not take {tag}")

    def cancel(self, tag: Hashable) -> None:
        """Take a recording back."""
        self._engine.cancel(tag)

    def next(self, timeout_s: float | None = None) -> dict[Hashable, Recognition]:
        """Wait for recordings that ended; empty when none did within the time.

        Raises:
            RecordingError: one failed.
        """
        self._something.wait(timeout_s)
        self._something.clear()
        ended = {}
        for outcome in self._engine.collect():
            if isinstance(outcome.value, RecordingError):
                raise outcome.value
            ended[outcome.tag] = outcome.value
        return ended

    def transcribe(self, tracks: Mapping[str, Track]) -> dict[Hashable, Recognition]:
        """Submit all at once, and wait for the last."""
        for tag, track in tracks.items():
            self.submit(tag, track)
        ended: dict[Hashable, Recognition] = {}
        while len(ended) < len(tracks):
            ended |= self.next()
        return ended

    def latency_s(self, tag: Hashable, track: Track) -> float:
        """Submit one, and wait for it; what else ends meanwhile is dropped."""
        began = time.monotonic()
        self.submit(tag, track)
        while tag not in self.next():
            pass
        return time.monotonic() - began

    def close(self) -> None:
        """Stop it; what is in work is abandoned."""
        self._engine.close(CLOSE_S)


@contextmanager
def running_engine(models: ModelFolders, **settings: object) -> Iterator[RunningEngine]:
    """An engine with these models; closed on exit.

    Args:
        models: their folders.
        settings: further ones of the section ``engine``.
    """
    engine = RunningEngine(EngineSettings.model_validate({**models.engine_settings(), **settings}))
    try:
        yield engine
    finally:
        engine.close()
