"""A decoder process: ``python -m consumer.audio.worker``.

It reads one JSON object a line on standard input and answers each with one on standard output, after a first line
``{"ready": true}``. It ends with its standard input, that is also when its parent dies in the middle of a job.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from consumer.audio.decode import Request, decode
from consumer.errors import DecoderCrashed, RecordingError, SpoolFull

ADDRESS_SPACE = 4 << 30
"""Bytes of address space; decoding needs a few hundred MiB at most, and a header can ask for any amount."""

OPEN_FILES = 1024
"""Most files; one for each channel of a split recording, and a few."""


def main() -> None:
    """Answer requests until standard input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    _confine()
    threading.Thread(target=_exit_with_parent, args=(requests.fileno(),), daemon=True).start()
    _send(replies, {"ready": True})
    while line := requests.readline():
        _send(replies, answer(json.loads(line)))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Decode one file: ``{"done": …}`` or ``{"code": …, "message": …}`` with the code of a `RecordingError`."""
    try:
        report = decode(
            Request(
                path=Path(request["path"]),
                outputs=tuple(Path(path) for path in request["outputs"]),
                split=request["split"],
                seconds=request["seconds"],
                channels=request["channels"],
            )
        )
    except RecordingError as error:
        return {"code": error.code, "message": str(error)}
    except MemoryError:
        return {"code": DecoderCrashed.code, "message": f"it needs more than {ADDRESS_SPACE >> 30} GiB of memory"}
    except Exception as error:  # noqa: BLE001 - hostile input finds every path; the parent names the recording
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return {"code": SpoolFull.code, "message": f"no room in limits.spool_dir ({error.strerror})"}
        return {"code": DecoderCrashed.code, "message": f"{type(error).__name__}: {error}"}
    return {"done": asdict(report)}


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _confine() -> None:
    """Bound what a hostile file can take; where the system already bounds it lower, that stays."""
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        hard = resource.getrlimit(limit)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))
    with contextlib.suppress(OSError):  # when memory runs out, one recording is a cheaper loss than the service
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _exit_with_parent(descriptor: int) -> None:
    """End the process when nobody can write to its standard input any more, whatever FFmpeg is doing."""
    poll = select.poll()
    poll.register(descriptor, 0)
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
