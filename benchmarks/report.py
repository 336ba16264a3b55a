"""What a benchmark says: progress for people on standard error, and one line of JSON on standard output."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any


def progress(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def print_result(
    benchmark: str, ratios: Mapping[str, float], references: Mapping[str, Any], **figures: Any
) -> dict[str, Any]:
    """Print the line, and return what is in it.

    Args:
        benchmark: its name.
        ratios: what the targets are set for.
        references: what was measured beside ours, in the same run.
        figures: anything else worth knowing.
    """
    result = {
        "benchmark": benchmark,
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "references": references,
        **figures,
        "machine": machine(),
    }
    print(json.dumps(result, ensure_ascii=False), flush=True)
    return result


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other things."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": version("torch"),
        "funasr": version("funasr"),
        "gpu": _gpu_name(),
    }


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu_name() -> str | None:
    """Only where torch is loaded anyway: asking for it would cost a benchmark without models half a minute."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name()) if torch is not None and torch.cuda.is_available() else None
