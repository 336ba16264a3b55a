"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.models import ModelFolders, demo_models, full_size_models
from consumer.settings import EngineSettings

VAD_VARIABLE = "TINGXIE_BENCHMARK_VAD"
"""Names a folder with trained FSMN-VAD weights, in place of ``--vad``."""


def parser(name: str, description: str, *, minutes: float | None = None) -> argparse.ArgumentParser:
    """A parser of the options that all have.

    Args:
        name: of the benchmark.
        description: what it measures.
        minutes: default length of the mixed set; None leaves the option out.
    """
    options = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if minutes is not None:
        options.add_argument("--minutes", type=float, default=minutes, help="audio in the mixed set")
    return options


def add_model_options(options: argparse.ArgumentParser, *, rounds: int, budget_s: float) -> None:
    """Options of the benchmarks that run full-size models."""
    vad = os.environ.get(VAD_VARIABLE)
    options.add_argument(
        "--vad",
        type=Path,
        default=Path(vad) if vad else None,
        help=f"folder of an FSMN-VAD, also by {VAD_VARIABLE}; without one the demo's",
    )
    options.add_argument("--demo-models", action="store_true", help="the small models: quick, means little")
    options.add_argument("--threads", type=int, default=0, help="CPU threads of the models; 0 lets torch choose")
    options.add_argument("--rounds", type=int, default=rounds, help="most rounds")
    options.add_argument("--budget-s", type=float, default=budget_s, help="no round begins that would end later")
    options.add_argument(
        "--batch-seconds",
        type=float,
        default=EngineSettings.model_fields["batch_seconds"].default,
        help="bound of a batch, padding included",
    )


def chosen_models(options: argparse.Namespace) -> ModelFolders:
    """The models that the options of `add_model_options` ask for."""
    return demo_models(options.vad) if options.demo_models else full_size_models(options.vad)


def engine_environment(models: ModelFolders, options: argparse.Namespace, *, threads: int) -> dict[str, str]:
    """The engine's settings on the CPU, as environment variables of a service."""
    settings = {
        **models.engine_settings(),
        "device": "cpu",
        "threads": str(threads),
        "batch_seconds": str(options.batch_seconds),
    }
    return {f"TINGXIE_ENGINE__{name.upper()}": value for name, value in settings.items()}
