"""CPU seconds an hour of audio costs outside of the recogniser's forward pass, by stage, everything counted.

The service runs with a real broker and a real bucket, its models on one thread, so that a thread's CPU time is a
stage's. ``decode`` holds the start of the decoder processes, ``rest`` what no stage claims: the loop, the broker's
client, logs. The target: ``total`` at most 15. Beside it stand FunASR's voice activity detection and recogniser
features over the same recordings, on one thread too, and on as many as AutoModel takes by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.audio import Recording, mixed_set
from benchmarks.child import run_child
from benchmarks.counted import run_counted
from benchmarks.inside import timed_stages
from benchmarks.models import ModelFolders
from benchmarks.options import add_model_options, chosen_models, engine_environment, parser
from benchmarks.report import print_result, progress
from benchmarks.servers import announce, create_topics, running_servers
from consumer.operations.logging import configure_logging
from consumer.settings import load_settings

FORWARD = "recogniser_forward"
SERVE = "--serve"
TARGET_CPU_S = 15.0
FUNASR_THREADS = 4
"""``ncpu`` of AutoModel where nobody sets it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [SERVE]:
        serve(int(arguments[1]))
        return
    options = parser("front", "CPU seconds outside of the recogniser's forward pass.", minutes=30)
    add_model_options(options, rounds=1, budget_s=0)
    run(options.parse_args(arguments))


def serve(count: int) -> None:
    """Be the service until so many recordings are done; print what its stages cost."""
    settings = load_settings()
    configure_logging(settings.telemetry.log_level, settings.telemetry.log_format)
    with timed_stages() as clock:
        cost = run_counted(settings, count, begun=clock.reset)
    stages = dict(clock.seconds)
    print(json.dumps({"cpu_s": cost.cpu_s, "decode": cost.children_cpu_s, "stages": stages, "missing": clock.missing}))


def run(options: argparse.Namespace) -> None:
    """Measure and report."""
    models = chosen_models(options)
    recordings = mixed_set(options.minutes)
    audio_h = sum(each.seconds for each in recordings) / 3600
    with tempfile.TemporaryDirectory() as folder, running_servers() as servers:
        topics = create_topics(servers.kafka)
        for each in recordings:
            servers.upload(f"{each.name}.wav", each.wav())
        announce(servers.kafka.bootstrap_servers, topics.uploads, [f"{each.name}.wav" for each in recordings])
        settings = {
            **servers.settings(topics, Path(folder) / "spool"),
            **engine_environment(models, options, threads=1),
        }
        progress(f"{len(recordings)} recordings, {audio_h * 60:.0f} minutes through the service")
        cost = run_child("front", [SERVE, str(len(recordings))], settings, Path(folder) / "front.log")
    stages = cost["stages"]
    if not stages.get(FORWARD):
        raise RuntimeError("the recogniser's forward pass was not seen: see benchmarks.inside")
    stages["decode"] = cost["decode"]
    forward = stages.pop(FORWARD)
    total = cost["cpu_s"] + cost["decode"] - forward
    stages["rest"] = total - sum(stages.values())
    funasr = funasr_costs(models, recordings, threads=1)
    by_itself = funasr_costs(models, recordings, threads=FUNASR_THREADS)
    per_hour = {name: round(seconds / audio_h, 2) for name, seconds in sorted(stages.items())}
    print_result(
        "front",
        {"funasr": sum(funasr.values()) / total, "target": TARGET_CPU_S / (total / audio_h)},
        {
            "funasr_cpu_s_per_hour": {name: round(seconds / audio_h, 2) for name, seconds in funasr.items()},
            f"funasr_{FUNASR_THREADS}_threads_cpu_s_per_hour": {
                name: round(seconds / audio_h, 2) for name, seconds in by_itself.items()
            },
        },
        cpu_s_per_hour={**per_hour, "total": round(total / audio_h, 2)},
        forward_cpu_s_per_hour=round(forward / audio_h, 1),
        missing=cost["missing"],
        audio_s=round(audio_h * 3600),
    )


def funasr_costs(models: ModelFolders, recordings: Sequence[Recording], threads: int) -> dict[str, float]:
    """CPU seconds of FunASR's voice activity detection, and of its features for the recogniser."""
    import torch  # noqa: PLC0415 - slow

    from benchmarks.references import FunASR  # noqa: PLC0415 - likewise

    torch.set_num_threads(threads)
    progress(f"FunASR's voice activity detection and features, threads: {threads}")
    funasr = FunASR(models, "cpu")
    shortest = min(recordings, key=lambda each: each.seconds)
    funasr.segments([shortest])
    segments = []
    vad = cpu_s(lambda: segments.extend(funasr.segments(recordings)))
    return {"vad": vad, "features": cpu_s(lambda: [funasr.features(each) for each in segments])}


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
