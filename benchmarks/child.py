"""Parts of a benchmark that need a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def run_child(module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Any:
    """Run ``python -m benchmarks.MODULE``; what its last line of standard output says.

    Args:
        module: its name.
        arguments: of its command line.
        environment: variables beside this process's own.
        log: where its standard error goes.

    Raises:
        RuntimeError: it failed; with the end of its log.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    with log.open("ab") as sink:
        done = subprocess.run(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=sink, check=False
        )
    if done.returncode:
        tail = log.read_text("utf-8", "replace")[-3000:]
        raise RuntimeError(f"benchmarks.{module} ended with code {done.returncode}:\n{tail}")
    return json.loads(done.stdout.splitlines()[-1])
