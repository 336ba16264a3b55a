"""A decoder process: ``python -m consumer.audio.worker``.

Standard input is a Unix socket that keeps messages apart: each is one JSON object and carries open files, the
recording and then one for each track, since the process can open none itself. It answers each with a line of JSON on
standard output, after a first line ``{"ready": true, …}`` with its `Confinement`. It ends with its standard input, that
is also when its parent dies in the middle of a job.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import threading
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, BinaryIO

from consumer.audio.confine import Bounds, bound_job, give_up_rights, start_nothing_more
from consumer.audio.decode import Request, decode
from consumer.errors import NO_ROOM, AudioTooLong, DecoderCrashed, RecordingError, SpoolFull

LONGEST_REQUEST = 1 << 12
"""Bytes; a real one has about two hundred."""

MOST_FILES = 253
"""What the kernel lets one message carry (SCM_MAX_FD); ``limits.channels`` stays far below."""


def main() -> None:
    """Answer requests until standard input ends."""
    requests = socket.socket(fileno=os.dup(0))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    confinement = give_up_rights()
    threading.Thread(target=_exit_with_parent, args=(requests.fileno(),), daemon=True).start()
    start_nothing_more()
    _send(replies, {"ready": True} | asdict(confinement))
    while True:
        message, files, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, MOST_FILES)
        if not message:
            return
        _send(replies, answer(json.loads(message), files))


def answer(request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Decode one file: ``{"done": …}`` or ``{"code": …, "message": …}`` with the code of a `RecordingError`."""
    bounds = Bounds(**request["bounds"])
    try:
        with ExitStack() as stack:
            outputs = tuple(stack.enter_context(os.fdopen(each, "wb")) for each in descriptors[1:])
            source = stack.enter_context(os.fdopen(descriptors[0], "rb"))
            bound_job(bounds)
            low, high = request["rates"]
            report = decode(
                Request(source, outputs, request["split"], bounds.seconds, request["channels"], (low, high))
            )
    except RecordingError as error:
        return _refusal(error)
    except MemoryError:
        return _refusal(DecoderCrashed(f"it needs more memory than limits.decode_bytes ({bounds.memory})"))
    except Exception as error:  # noqa: BLE001 - hostile input finds every path; the parent names the recording
        number = error.errno if isinstance(error, OSError) else None
        if number in NO_ROOM:
            return _refusal(SpoolFull(f"no room in limits.spool_dir ({os.strerror(number)})"))
        if number == errno.EFBIG:
            return _refusal(AudioTooLong(f"more samples than limits.audio_seconds ({bounds.seconds} s) has room for"))
        return _refusal(DecoderCrashed(f"{type(error).__name__}: {error}"))
    return {"done": asdict(report)}


def _refusal(error: RecordingError) -> dict[str, Any]:
    return {"code": error.code, "message": str(error)}


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _exit_with_parent(descriptor: int) -> None:
    """End the process when nobody can write to its standard input any more, whatever FFmpeg is doing."""
    poll = select.poll()
    poll.register(descriptor, 0)
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
