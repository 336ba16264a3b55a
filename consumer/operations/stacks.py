"""Where every thread is."""

from __future__ import annotations

import sys
import threading
from types import FrameType


def all_stacks() -> list[tuple[str, str]]:
    """Name and Python stack of each thread: a line for each call, the innermost first.

    Source lines are left out: reading them could wait for the very disk that somebody is stuck on.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()  # noqa: SLF001 - documented, underscore and all
    return [(names.get(ident) or f"thread {ident}", _calls(frame)) for ident, frame in frames.items()]


def _calls(innermost: FrameType) -> str:
    lines = []
    frame: FrameType | None = innermost
    while frame is not None:
        lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return "\n".join(lines)
