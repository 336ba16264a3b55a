"""Peak memory and time of an hour and of ten hours of audio, through decoder and engine, with the demo's models.

Each recording is transcribed in a fresh process. A memory-mapped file's pages count in a process's resident size but
can be taken from it at any time, so there are two figures: ``resident`` with them (VmRSS), ``own`` without (RssAnon).
The targets: a peak of ten hours within a tenth of that of one (``own``), at most 600 MB above the loaded models, and at
most 10.5 times the time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.audio import write_wav
from benchmarks.child import run_child
from benchmarks.models import demo_models
from benchmarks.options import parser
from benchmarks.ours import running_engine
from benchmarks.report import print_result, progress
from consumer.audio.decoder import DecodeJob, Decoder
from consumer.settings import LimitSettings
from consumer.storage.spool import Spool

SAMPLED_EVERY_S = 0.02
MEASURE = "--measure"
_FIELDS = {"VmRSS": "resident", "RssAnon": "own"}


class MemoryWatch:
    """Follows a process's memory in a thread; megabytes."""

    def __init__(self, process: str = "self") -> None:
        self._status = Path(f"/proc/{process}/status")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.base = self.now()
        self.peak = dict(self.base)
        self._thread.start()

    def now(self) -> dict[str, float]:
        """What it has."""
        lines = (line.split(":") for line in self._status.read_text(encoding="ascii").splitlines())
        return {_FIELDS[name]: int(value.split()[0]) / 1024 for name, value in lines if name in _FIELDS}

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLED_EVERY_S):
            for name, value in self.now().items():
                self.peak[name] = max(self.peak[name], value)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [MEASURE]:
        measure(Path(arguments[1]))
        return
    options = parser("memory", "Memory and time of one and of ten hours of audio.")
    options.add_argument("--hours", type=float, default=10.0, help="length of the long recording")
    options.add_argument("--base-hours", type=float, default=1.0, help="length of the short one")
    run(options.parse_args(arguments))


def measure(file: Path) -> None:
    """Transcribe a file in this process, and print what that took."""
    with tempfile.TemporaryDirectory() as folder, running_engine(demo_models(), device="cpu", threads=1) as engine:
        limits = LimitSettings(spool_dir=Path(folder))
        watch = MemoryWatch()
        began = time.perf_counter()
        with Spool(limits.spool_dir) as spool, closing(Decoder(limits, spool)) as decoder:
            (track,) = decoder.decode(DecodeJob(file)).tracks
            decoded = time.perf_counter()
            (recognition,) = engine.transcribe({"recording": track}).values()
        ended = time.perf_counter()
        watch.stop()
    result = {
        "decode_s": round(decoded - began, 2),
        "seconds": round(ended - began, 2),
        "model_mb": _rounded(watch.base),
        "peak_mb": _rounded(watch.peak),
        "above_model_mb": _rounded({name: watch.peak[name] - watch.base[name] for name in watch.peak}),
        "words": sum(len(span.words) for span in recognition.spans),
    }
    print(json.dumps(result))


def run(options: argparse.Namespace) -> None:
    """Measure and report."""
    short = transcribe(options.base_hours)
    long = transcribe(options.hours)
    print_result(
        "memory",
        {
            "peak": long["peak_mb"]["own"] / short["peak_mb"]["own"],
            "peak_resident": long["peak_mb"]["resident"] / short["peak_mb"]["resident"],
            "time": long["seconds"] / short["seconds"],
        },
        {"short": {"hours": options.base_hours, **short}},
        long={"hours": options.hours, **long},
    )


def transcribe(hours: float) -> Any:
    """What a recording of so many hours took in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recording.wav"
        progress(f"writing {hours} hours")
        write_wav(file, hours * 3600, seed=3)
        progress(f"transcribing {hours} hours")
        cost = run_child("memory", [MEASURE, str(file)], {}, Path(folder) / "memory.log")
    progress(json.dumps(cost))
    return cost


def _rounded(megabytes: dict[str, float]) -> dict[str, int]:
    return {name: round(value) for name, value in megabytes.items()}


if __name__ == "__main__":
    main()
