"""What the process that runs the tests holds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple


class Holdings(NamedTuple):
    """Resident memory in KiB, open files, and threads."""

    kibibytes: int
    files: int
    threads: int


def holdings() -> Holdings:
    """Of this process, now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return Holdings(int(resident.split()[1]), len(list(Path("/proc/self/fd").iterdir())), threading.active_count())
