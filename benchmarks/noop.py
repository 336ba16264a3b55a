"""The service with nothing to do for a recording: real source, flow, lanes, offsets and sink, stages that do nothing.

``python -m benchmarks.noop COUNT`` runs it with the settings of the environment until so many recordings are
acknowledged, and prints how long that took.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.counted import run_counted
from consumer.operations.logging import configure_logging
from consumer.settings import load_settings
from consumer.stage import Doing, Outcome
from consumer.transcript.types import DecodedAudio, ModelInfo, Recognition, Span, StoredObject, Track, Word

NOWHERE = Path("/nonexistent/benchmark")
TEXT = "今天下午三个客户来北京开会"
MODEL = ModelInfo("no-op", "1", "no-op@1", "no-op@1", "float32", "cpu")
RECOGNITION = Recognition(
    (
        Span(
            0,
            310,
            3790,
            tuple(Word(char, 310 + 200 * at, 510 + 200 * at, 0.97) for at, char in enumerate(TEXT)),
        ),
    ),
    MODEL,
)
"""A short sentence, so that transcripts are of a usual size."""
RESULTS: dict[str, Any] = {
    "fetch": StoredObject(NOWHERE, 128_000, "5ba835edfa2b8b70", None),
    "decode": DecodedAudio((Track(0, NOWHERE, 64_000),), 4000, "wav", "pcm_s16le", 16_000, 1),
    "engine": RECOGNITION,
}


class Idle:
    """A stage whose work is done the moment it is submitted.

    Args:
        name: of the stage.
        arguments, more: what the real stage takes; only ``notify`` is used.
    """

    def __init__(self, name: str, *arguments: object, notify: Callable[[], None], **more: object) -> None:
        self.name = name
        self._result = RESULTS[name]
        self._notify = notify
        self._outcomes: list[Outcome[Any]] = []

    def start(self) -> None:
        """Nothing to make ready."""

    def submit(self, tag: Hashable, job: object) -> bool:
        """Done."""
        self._outcomes.append(Outcome(tag, self._result, 0))
        self._notify()
        return True

    def collect(self) -> list[Outcome[Any]]:
        """All that was submitted."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def cancel(self, tag: Hashable) -> None:
        """Nothing is ever in work."""

    def close(self, timeout_s: float) -> None:
        """Nothing to stop."""

    def doing(self) -> list[Doing]:
        """Nothing."""
        return []


def idle_engine(_: object, notify: Callable[[], None], **_more: object) -> Idle:
    """In place of the engine."""
    return Idle("engine", notify=notify)


def main() -> None:
    """Run the service."""
    settings = load_settings()
    configure_logging(settings.telemetry.log_level, settings.telemetry.log_format)
    with (
        mock.patch("consumer.app.ThreadStage", Idle),
        mock.patch("consumer.app.Engine", idle_engine),
        mock.patch("consumer.app.Spool.remove"),  # the stages' files do not exist
    ):
        cost = run_counted(settings, int(sys.argv[1]))
    print(json.dumps({"seconds": cost.seconds, "cpu_s": cost.cpu_s}))


if __name__ == "__main__":
    main()
