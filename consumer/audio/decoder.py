"""Decoding for the rest of the program: a pool of processes behind a call."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson

import consumer
from consumer.audio.confine import Confinement
from consumer.audio.process import WorkerGoneError, WorkerProcess, WorkerSilentError, WorkerSpentError
from consumer.errors import (
    NO_ROOM,
    AudioTooLong,
    AudioUnsupported,
    DecoderCrashed,
    DecoderTimedOut,
    NoAudioStream,
    NotMedia,
    RecordingError,
    SpoolFull,
    StageDied,
)
from consumer.settings import LimitSettings
from consumer.transcript.types import SAMPLE_RATE, DecodedAudio, Track

COMMAND = (sys.executable, "-m", "consumer.audio.worker")

ERRORS: dict[str, type[RecordingError]] = {
    error.code: error for error in (NotMedia, NoAudioStream, AudioTooLong, AudioUnsupported, DecoderCrashed, SpoolFull)
}
"""What a decoder process may say went wrong."""

KEPT_VARIABLES = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TZ")
"""All of the environment that a decoder process gets: what a broken one cannot see, it cannot give away."""

STARTUP_SECONDS = 60.0
"""How long a process may take to import its libraries; a tenth of a second on an idle machine with a warm cache."""

JOBS_PER_PROCESS = 500
"""After so many recordings a process is replaced, so that no library's leak adds up."""


class Scratch(Protocol):
    """The part of a spool that decoding needs."""

    def new_path(self, suffix: str = "") -> Path:
        """A name that nothing else has."""

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """A media file to decode.

    Attributes:
        path: the file; it stays where it is.
        split: one track for each channel in place of a mix of all.
    """

    path: Path
    split: bool = False


class Decoder:
    """Decodes untrusted media in processes of their own, at most ``limits.decode_workers`` of them.

    Processes start on demand and live on; one that crashed or hung is replaced. All methods may be called from any
    thread; `decode` blocks, also while all processes are busy.
    """

    def __init__(self, limits: LimitSettings, spool: Scratch, command: Sequence[str] = COMMAND) -> None:
        """Nothing is started yet. ``command`` starts a decoder process."""
        self._limits = limits
        self._spool = spool
        self._command = tuple(command)
        self._slots = threading.BoundedSemaphore(limits.decode_workers)
        self._guard = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._closed = False

    def decode(self, job: DecodeJob) -> DecodedAudio:
        """Decode a file into the spool, as 16-bit mono at 16 kHz; the caller removes the tracks.

        Raises:
            NotMedia: of no container or codec that can be decoded, or nothing of it could be.
            NoAudioStream: there is no sound in it.
            AudioTooLong: longer than ``limits.audio_seconds``.
            AudioUnsupported: more than ``limits.channels``, or a sample rate outside ``limits.lowest_sample_rate`` and
                ``limits.highest_sample_rate``.
            DecoderCrashed: the process died on it, or it needs more memory than ``limits.decode_bytes``.
            DecoderTimedOut: not done within ``limits.decode_seconds``, or ``limits.decode_cpu_seconds`` of processor
                time.
            SpoolFull: the disk is full.
            StageDied: no decoder process can be started, or this decoder was closed.
        """
        with self._slots:
            outputs = [self._spool.new_path(f".{n}.pcm") for n in range(self._limits.channels if job.split else 1)]
            kept = 0
            try:
                audio = self._run(job, outputs)
                kept = len(audio.tracks)
                return audio
            finally:
                for path in outputs[kept:]:
                    self._spool.remove(path)

    def confinement(self) -> Confinement:
        """Start a process, and say what this system let it give up.

        Raises:
            StageDied: no decoder process can be started, or this decoder was closed.
        """
        worker = self._check_out()
        self._check_in(worker)
        greeting = _parse(worker.greeting)
        return Confinement(int(greeting["landlock"]), bool(greeting["own_network"]))

    def close(self) -> None:
        """Kill all processes; whoever waits in `decode` gets `StageDied`. May be called twice."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = self._workers.difference(idle)
            self._workers.clear()
        for worker in idle:
            worker.close()
        for worker in busy:
            worker.stop()

    def __enter__(self) -> Decoder:  # noqa: PYI034 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, job: DecodeJob, outputs: Sequence[Path]) -> DecodedAudio:
        """Decode in an idle process, else in a new one."""
        worker = self._check_out()
        if worker.jobs:
            # A used process may have died before it took this job, or of what earlier ones left in it.
            with contextlib.suppress(WorkerGoneError):
                return self._ask(worker, job, outputs)
            worker = self._check_out(fresh=True)
        try:
            return self._ask(worker, job, outputs)
        except WorkerGoneError as error:
            if self._closed:
                raise StageDied("the decoder was closed") from error
            raise DecoderCrashed(f"the decoder process died on this recording ({error})") from error

    def _ask(self, worker: WorkerProcess, job: DecodeJob, outputs: Sequence[Path]) -> DecodedAudio:
        try:
            with ExitStack() as stack:
                files = [stack.enter_context(file) for file in _opened(job.path, outputs)]
                descriptors = [file.fileno() for file in files]
                reply = _parse(worker.ask(self._request(job), descriptors, self._limits.decode_seconds))
            audio = _audio(reply["done"], outputs) if "done" in reply else None
        except WorkerSilentError as error:
            self._discard(worker)
            limit = self._limits.decode_seconds
            raise DecoderTimedOut(f"not decoded within limits.decode_seconds ({limit} s)") from error
        except WorkerSpentError as error:
            self._discard(worker)
            limit = self._limits.decode_cpu_seconds
            raise DecoderTimedOut(f"it takes more processor time than limits.decode_cpu_seconds ({limit} s)") from error
        except BaseException:
            self._discard(worker)
            raise
        self._check_in(worker)
        if audio is not None:
            return audio
        raise ERRORS.get(str(reply.get("code")), DecoderCrashed)(str(reply.get("message", "no reason given")))

    def _request(self, job: DecodeJob) -> bytes:
        limits = self._limits
        request = {
            "split": job.split,
            "channels": limits.channels,
            "rates": [limits.lowest_sample_rate, limits.highest_sample_rate],
            "bounds": {
                "seconds": limits.audio_seconds,
                "memory": limits.decode_bytes,
                "cpu_seconds": limits.decode_cpu_seconds,
            },
        }
        return json.dumps(request).encode() + b"\n"

    def _check_out(self, *, fresh: bool = False) -> WorkerProcess:
        """An idle process, else a new one."""
        with self._guard:
            while self._idle and not fresh:
                worker = self._idle.pop()
                if worker.alive and worker.jobs < JOBS_PER_PROCESS:
                    return worker
                self._workers.discard(worker)
                worker.close()
            if self._closed:
                raise StageDied("the decoder was closed")
        return self._start()

    def _start(self) -> WorkerProcess:
        try:
            worker = WorkerProcess(self._command, _environment())
        except OSError as error:
            raise StageDied(f"no decoder process can be started: {error}") from error
        with self._guard:
            closed = self._closed
            self._workers.add(worker)
        if closed:
            self._discard(worker)
            raise StageDied("the decoder was closed")
        try:
            worker.greet(STARTUP_SECONDS)
        except (WorkerGoneError, WorkerSilentError) as error:
            self._discard(worker)
            reason = str(error) or f"no sign of life within {STARTUP_SECONDS:.0f} s"
            raise StageDied(f"a decoder process does not start: {reason}") from error
        return worker

    def _check_in(self, worker: WorkerProcess) -> None:
        with self._guard:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.close()

    def _discard(self, worker: WorkerProcess) -> None:
        with self._guard:
            self._workers.discard(worker)
        worker.close()


def _opened(source: Path, outputs: Sequence[Path]) -> Iterator[BinaryIO]:
    """The recording for reading and its tracks for writing: the process itself can open nothing.

    Raises:
        SpoolFull: the disk has no room for another file.
        DecoderCrashed: the recording is gone, or a file cannot be opened.
    """
    try:
        yield source.open("rb")
        for path in outputs:
            yield path.open("wb", buffering=0)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise SpoolFull(f"no room in limits.spool_dir ({error.strerror})") from error
        raise DecoderCrashed(f"{type(error).__name__}: {error}") from error


def _parse(line: bytes) -> dict[str, Any]:
    """A reply as JSON. Of a strict reader: no endless nesting, no halves of characters, nothing that is no number."""
    try:
        reply = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise WorkerGoneError("it broke the protocol") from error
    if not isinstance(reply, dict):
        raise WorkerGoneError("it broke the protocol")
    return reply


def _environment() -> dict[str, str]:
    """Enough to find this package and its libraries, and nothing else of ours."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    home = Path(consumer.__file__).parent.parent
    # Numeric libraries would start a thread for each core, and reserve address space for each of those.
    return kept | {"PYTHONPATH": str(home), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _audio(report: Any, outputs: Sequence[Path]) -> DecodedAudio:
    """The reply as a value. How many samples there are is counted here: the process may have been taken over."""
    try:
        tracks = tuple(
            Track(channel=n, path=path, samples=path.stat().st_size // 2)
            for n, path in enumerate(outputs[: int(report["tracks"])])
        )
        return DecodedAudio(
            tracks=tracks,
            duration_ms=max(track.samples for track in tracks) * 1000 // SAMPLE_RATE,
            format=str(report["format"]),
            codec=str(report["codec"]),
            sample_rate=int(report["sample_rate"]),
            channels=int(report["channels"]),
            warnings=tuple(str(line) for line in report["warnings"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise WorkerGoneError(f"it gave no usable report: {error!r}") from error
