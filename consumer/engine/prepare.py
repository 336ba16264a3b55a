"""Models on their way to serve: found, loaded, run once, and heard with a recording that they must understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from consumer.engine.api import EngineObserver
from consumer.engine.quiet import quiet_libraries
from consumer.engine.reference import Reference
from consumer.errors import ModelUnavailable
from consumer.settings import EngineSettings
from consumer.transcript.types import SAMPLE_RATE, ModelInfo

if TYPE_CHECKING:
    from consumer.engine.load import Models
    from consumer.engine.work import Work


class Preparation:
    """Makes models ready, the first and those that replace others. Torch and FunASR are imported when it is asked to.

    Args:
        settings: of the engine.
        observer: told of batches.
    """

    def __init__(self, settings: EngineSettings, observer: EngineObserver) -> None:
        """Read the reference recording.

        Raises:
            UsageError: it cannot be used.
        """
        self._settings = settings
        self._observer = observer
        self._reference = Reference(settings)
        self._said = ""

    def first(self) -> Work:
        """Work for the models that the settings name.

        Raises:
            ModelUnavailable: a model cannot be had, or does not understand the reference recording.
        """
        with quiet_libraries():
            from consumer.engine.load import load_models  # noqa: PLC0415 - slow: torch and FunASR

        return self._ready(load_models(self._settings))

    def beside(self, settings: EngineSettings, serving: ModelInfo) -> Work | None:
        """Work for other models, while those that serve stay loaded.

        Args:
            settings: which models.
            serving: what serves now.

        Returns:
            None when the settings name what serves.

        Raises:
            ModelUnavailable: as `first`, or memory has no room for them.
        """
        from consumer.engine.load import load_models, plan_models  # noqa: PLC0415 - slow: torch and FunASR
        from consumer.engine.room import check_room  # noqa: PLC0415 - likewise

        plan = plan_models(settings)
        if plan.info == serving:
            return None
        check_room(plan.folders, plan.device)
        return self._ready(load_models(settings, plan))

    def _ready(self, models: Models) -> Work:
        from consumer.engine.work import Work  # noqa: PLC0415 - nothing to do without models

        warm_up(models)
        self._said = self._reference.check(models, self._said)
        return Work(
            models,
            self._settings.batch_seconds,
            self._settings.batch_wait_ms / 1000,
            overlap=models.info.device != "cpu",
            observer=self._observer,
        )


def warm_up(models: Models) -> None:
    """Run every model once, so that the first recording does not pay for it and a broken model shows at the start."""
    seconds = 2
    noise = np.random.default_rng(0).normal(0, 300, seconds * SAMPLE_RATE).astype(np.int16)
    models.detector.detect(noise)
    models.recogniser.recognise(models.detector.fbank([noise, noise[: SAMPLE_RATE // 2]]), [0, 0])
    if models.punctuator is not None:
        models.punctuator.punctuate(["一"] * 25)


def explained(cause: BaseException) -> ModelUnavailable:
    """What went wrong, with what to do about it."""
    if isinstance(cause, ModelUnavailable):
        return cause
    todo = (
        "that torch and funasr are installed as this package asks for"
        if isinstance(cause, ImportError)
        else "engine.device, engine.dtype, and how much memory is free there"
    )
    return ModelUnavailable(f"The engine could not be made ready: {type(cause).__name__}: {cause}. Check {todo}.")
