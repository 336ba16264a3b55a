"""The engine against the recogniser's bare forward pass, and against FunASR's AutoModel.

All three transcribe the same mixed set. The targets: ``raw`` at least 0.95, ``automodel`` at least 1.8, and at most a
tenth of what the engine's recogniser computes is padding.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.audio import mixed_set
from benchmarks.inside import watched_batches
from benchmarks.options import add_model_options, chosen_models, parser
from benchmarks.ours import running_engine
from benchmarks.report import print_result, progress
from benchmarks.rounds import interleave


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser("engine", "The engine against bare forward pass and AutoModel.", minutes=16)
    add_model_options(options, rounds=3, budget_s=440)
    run(options.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Measure and report."""
    import torch  # noqa: PLC0415 - slow

    from benchmarks.references import FunASR, RawForward, padding_share  # noqa: PLC0415 - likewise

    models = chosen_models(options)
    recordings = mixed_set(options.minutes)
    audio_s = sum(each.seconds for each in recordings)
    progress(f"{len(recordings)} recordings, {audio_s:.0f} s")
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = {"device": "cpu", "threads": options.threads, "batch_seconds": options.batch_seconds}
    with (
        tempfile.TemporaryDirectory() as folder,
        watched_batches() as batches,
        running_engine(models, **settings) as engine,
    ):
        tracks = {each.name: each.track(Path(folder)) for each in recordings}
        funasr = FunASR(models, "cpu")
        raw = RawForward(funasr, funasr.segments(recordings), options.batch_seconds)
        progress(f"loaded; {len(raw.lengths_ms)} segments, {raw.seconds:.0f} s of speech")
        shortest = min(recordings, key=lambda each: each.seconds)
        funasr.generate([shortest])
        engine.transcribe({shortest.name: tracks[shortest.name]})
        batches.clear()
        measured = interleave(
            {
                "engine": lambda: engine.transcribe(tracks),
                "raw": raw.run,
                "automodel": lambda: funasr.generate(recordings),
            },
            rounds=options.rounds,
            budget_s=options.budget_s,
        )
        padding = padding_share([each.lengths for each in batches])
        a_batch = sum(len(each.lengths) for each in batches) / len(batches)
    print_result(
        "engine",
        {"raw": measured.ratio("raw", "engine"), "automodel": measured.ratio("automodel", "engine")},
        {name: measured.as_json()[name] for name in ("raw", "automodel")},
        engine=measured.as_json()["engine"],
        padding={"engine": round(padding, 4), "raw": round(raw.padding, 4)},
        segments_a_batch={"engine": round(a_batch, 1), "raw": round(raw.segments_a_batch, 1)},
        times_real_time={name: round(audio_s / measured.median(name), 2) for name in measured.seconds},
        audio_s=round(audio_s),
        speech_s=round(raw.seconds),
        recordings=len(recordings),
        segments=len(raw.lengths_ms),
        tokens_a_second=round(raw.tokens / raw.seconds, 2),
    )


if __name__ == "__main__":
    main()
