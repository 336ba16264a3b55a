"""All that matters on a GPU, in ten minutes on a bare machine that has a CUDA torch.

For float32 and bfloat16: the engine against bare forward pass and AutoModel over one mixed set, padding, how much of
the time the recogniser was at work, and the device's memory. Before that, the demo's samples with the demo's models on
the CPU and on the device in float32: texts, times and confidences should agree. It needs this package with the engine's
libraries (torch, funasr, av), neither broker nor bucket; ``--device cpu --minutes 0.5`` runs the same without a GPU.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.audio import Recording, Samples, mixed_set, speech
from benchmarks.inside import Batch, watched_batches
from benchmarks.models import ModelFolders, demo_models
from benchmarks.options import add_model_options, chosen_models, parser
from benchmarks.ours import running_engine
from benchmarks.report import print_result, progress
from benchmarks.rounds import interleave
from consumer.transcript.types import Recognition, Track, Word

if TYPE_CHECKING:
    from benchmarks.references import FunASR

Heard = Mapping[Hashable, Recognition]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser("gpu", "The engine on a GPU against bare forward pass and AutoModel.", minutes=60)
    add_model_options(options, rounds=3, budget_s=120)
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="where the models run")
    options.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    run(options.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Measure and report."""
    import torch  # noqa: PLC0415 - slow

    from benchmarks.references import FunASR  # noqa: PLC0415 - likewise

    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        agreement = parity(folder, options.device)
        progress(f"parity: {agreement}")
        models = chosen_models(options)
        recordings = mixed_set(options.minutes)
        funasr = FunASR(models, "cuda:0" if options.device == "cuda" else "cpu")
        segments = funasr.segments(recordings)
        mixed = Mixed(recordings, {each.name: each.track(folder) for each in recordings}, segments)
        by_dtype = {}
        for dtype in options.dtypes:
            by_dtype[dtype] = compare(models, funasr, mixed, dtype, options)
            progress(f"{dtype}: {by_dtype[dtype]}")
            gc.collect()
    ratios = {f"{name}_{dtype}": ratio for dtype, each in by_dtype.items() for name, ratio in each["ratios"].items()}
    print_result(
        "gpu",
        ratios,
        {dtype: each["references"] for dtype, each in by_dtype.items()},
        device=options.device,
        parity=agreement,
        by_dtype={dtype: each["figures"] for dtype, each in by_dtype.items()},
        audio_s=round(sum(each.seconds for each in recordings)),
        recordings=len(recordings),
    )


@dataclass(frozen=True, slots=True)
class Mixed:
    """The mixed set, as each contestant takes it."""

    recordings: Sequence[Recording]
    tracks: Mapping[str, Track]
    segments: Sequence[Samples]


def compare(
    models: ModelFolders, funasr: FunASR, mixed: Mixed, dtype: str, options: argparse.Namespace
) -> dict[str, Any]:
    """The engine and its references in one dtype. AutoModel runs in float32 always: in bfloat16 it fails."""
    import torch  # noqa: PLC0415 - slow

    from benchmarks.references import RawForward, padding_share  # noqa: PLC0415 - likewise

    settings = {"device": options.device, "threads": options.threads, "batch_seconds": options.batch_seconds}
    audio_s = sum(each.seconds for each in mixed.recordings)
    before_mb = forget_peak()
    with watched_batches() as batches, running_engine(models, dtype=dtype, **settings) as engine:
        engine.transcribe(mixed.tracks)  # all shapes once
        memory_mb = peak_memory_mb() - before_mb
        raw = RawForward(funasr, mixed.segments, options.batch_seconds, getattr(torch, dtype))
        raw.run()
        funasr.generate([min(mixed.recordings, key=lambda each: each.seconds)])
        batches.clear()
        measured = interleave(
            {
                "engine": lambda: engine.transcribe(mixed.tracks),
                "raw": raw.run,
                "automodel": lambda: funasr.generate(mixed.recordings),
            },
            rounds=options.rounds,
            budget_s=options.budget_s,
        )
    everything = measured.as_json()
    return {
        "ratios": {name: measured.ratio(name, "engine") for name in ("raw", "automodel")},
        "references": {name: everything[name] for name in ("raw", "automodel")},
        "figures": {
            "engine": everything["engine"],
            "times_real_time": {name: round(audio_s / measured.median(name), 1) for name in everything},
            "padding": round(padding_share([each.lengths for each in batches]), 4),
            "busy_ratio": round(busy_ratio(batches, sum(measured.seconds["engine"])), 4),
            "batches": len(batches) // len(measured.seconds["engine"]),
            "device_memory_mb": memory_mb,
            "speech_s": round(raw.seconds),
        },
    }


def busy_ratio(batches: Sequence[Batch], seconds: float) -> float:
    """Share of the time in which the recogniser was at work, overlaps counted once."""
    busy, until = 0.0, 0.0
    for each in sorted(batches, key=lambda batch: batch.began):
        busy += max(0.0, each.ended - max(each.began, until))
        until = max(until, each.ended)
    return busy / seconds


def parity(folder: Path, device: str) -> dict[str, float]:
    """How the demo's models on the CPU and on the device disagree about the demo's samples, in float32."""
    tracks = {f"{number}": Recording(f"{number}", each).track(folder) for number, each in enumerate(speech())}
    heard: list[Heard] = []
    for where in ("cpu", device):
        with running_engine(demo_models(), device=where, dtype="float32") as engine:
            heard.append(engine.transcribe(tracks))
    return disagreement(*heard)


def disagreement(one: Heard, other: Heard) -> dict[str, float]:
    """Recordings whose words differ; where they agree, the largest difference of a time and of a confidence."""
    texts, time_ms, confidence = 0, 0, 0.0
    for name, recognition in one.items():
        words, others = _words(recognition), _words(other[name])
        if [(word.text, word.mark) for word in words] != [(word.text, word.mark) for word in others]:
            texts += 1
            continue
        for word, same in zip(words, others, strict=True):
            time_ms = max(time_ms, abs(word.start_ms - same.start_ms), abs(word.end_ms - same.end_ms))
            confidence = max(confidence, abs(word.confidence - same.confidence))
    return {"recordings": len(one), "texts_differ": texts, "time_ms": time_ms, "confidence": confidence}


def forget_peak() -> int:
    """Begin anew with the device's peak memory; megabytes in use now, 0 without a GPU."""
    import torch  # noqa: PLC0415 - slow

    if not torch.cuda.is_available():
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated() >> 20


def peak_memory_mb() -> int:
    """The device's peak memory since `forget_peak`; 0 without a GPU."""
    import torch  # noqa: PLC0415 - slow

    return torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else 0


def _words(recognition: Recognition) -> list[Word]:
    return [word for span in recognition.spans for word in span.words]


if __name__ == "__main__":
    main()
