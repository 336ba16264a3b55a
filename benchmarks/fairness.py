"""How long a short clip takes while a recording of hours is in work, against an engine that has nothing else to do.

The target: at most twice as long, the batch that ran when it was submitted not counted (``less_running_batch``).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.audio import Recording, recording, write_track
from benchmarks.inside import Batch, watched_batches
from benchmarks.options import add_model_options, chosen_models, parser
from benchmarks.ours import RunningEngine, running_engine
from benchmarks.report import print_result, progress
from consumer.transcript.types import Track

CLIP_S = 10.0
LONG = "long"
SETTLE_BATCHES = 3
"""The long recording is in full swing when so many of its batches are done."""


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser("fairness", "Latency of a short clip beside a recording of hours.")
    add_model_options(options, rounds=9, budget_s=300)
    options.add_argument("--hours", type=float, default=3.0, help="length of the long recording")
    run(options.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Measure and report."""
    models = chosen_models(options)
    with tempfile.TemporaryDirectory() as name, watched_batches() as batches:
        folder = Path(name)
        clip = Recording("clip", recording(CLIP_S, seed=1)).track(folder)
        long = write_track(folder / "long.pcm", options.hours * 3600, seed=2)
        with running_engine(
            models, device="cpu", threads=options.threads, batch_seconds=options.batch_seconds
        ) as engine:
            unloaded = [engine.latency_s(f"alone-{number}", clip) for number in range(options.rounds)]
            progress(f"alone: {statistics.median(unloaded):.2f} s")
            batches.clear()
            engine.submit(LONG, long)
            while len(batches) < SETTLE_BATCHES:
                engine.next(0.1)
            loaded, waited = probe(engine, clip, batches, options.rounds, options.budget_s)
            engine.cancel(LONG)
    alone = statistics.median(unloaded)
    less = [latency - wait for latency, wait in zip(loaded, waited, strict=True)]
    print_result(
        "fairness",
        {
            "less_running_batch": statistics.median(less) / alone,
            "less_running_batch_worst": max(less) / alone,
            "latency": statistics.median(loaded) / alone,
        },
        {"unloaded_s": rounded(unloaded)},
        loaded_s=rounded(loaded),
        running_batch_s=rounded(waited),
        batch_median_s=round(statistics.median(each.seconds for each in batches), 3),
        clip_s=CLIP_S,
        long_hours=options.hours,
    )


def probe(
    engine: RunningEngine, clip: Track, batches: Sequence[Batch], rounds: int, budget_s: float
) -> tuple[list[float], list[float]]:
    """Latencies of the clip, and how much of each was spent on the batch that ran when it was submitted."""
    loaded: list[float] = []
    waited: list[float] = []
    deadline = time.monotonic() + budget_s
    for number in range(rounds):
        if loaded and time.monotonic() > deadline:
            break
        # At another moment of a batch each time.
        time.sleep(statistics.median(each.seconds for each in batches) * number / rounds)
        began = time.monotonic()
        loaded.append(engine.latency_s(f"beside-{number}", clip))
        waited.append(rest_of_running_batch(batches, began))
        progress(f"beside {LONG}: {loaded[-1]:.2f} s, of these {waited[-1]:.2f} s on the batch that was running")
    return loaded, waited


def rest_of_running_batch(batches: Sequence[Batch], at: float) -> float:
    """How long the batch that ran at a moment went on; 0 when none did."""
    return next((each.ended - at for each in batches if each.began <= at < each.ended), 0.0)


def rounded(seconds: Sequence[float]) -> list[float]:
    """Milliseconds are enough."""
    return [round(each, 3) for each in seconds]


if __name__ == "__main__":
    main()
