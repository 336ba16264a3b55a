"""The pool of decoder processes: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from consumer.audio import decoder as module
from consumer.audio.decoder import DecodeJob, Decoder
from consumer.errors import (
    AudioTooLong,
    DecoderCrashed,
    DecoderTimedOut,
    NoAudioStream,
    NotMedia,
    RecordingError,
    SpoolFull,
    StageDied,
)
from consumer.settings import LimitSettings
from consumer.transcript.types import DecodedAudio
from tests.unit.audio.conftest import Folder
from tests.unit.audio.media import encode, pcm, tone, video, wav, wav_header

READY = "import os, signal, sys; print('{\"ready\": true}', flush=True); sys.stdin.readline(); "


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition, and fail when it does not come."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.01)


def running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


def script(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.fixture
def limits() -> LimitSettings:
    return LimitSettings(decode_workers=2, decode_seconds=60, audio_seconds=7200, channels=8)


@pytest.fixture
def decoder(limits: LimitSettings, folder: Folder) -> Iterator[Decoder]:
    with Decoder(limits, folder) as decoder:
        yield decoder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.wav"
    path.write_bytes(wav((tone(1.0, 16_000)[0] * 32767).astype(np.int16)))
    return path


@pytest.fixture
def long_recording(tmp_path: Path) -> Path:
    """An hour, which takes seconds to decode; sparse on disk."""
    path = tmp_path / "long.wav"
    size = 3600 * 44_100 * 2
    with path.open("wb") as file:
        file.write(wav_header(size, 44_100))
        file.truncate(44 + size)
    return path


def pids(decoder: Decoder) -> set[int]:
    return {worker.pid for worker in decoder._workers}


def test_a_recording_comes_back_as_a_track(decoder: Decoder, recording: Path, folder: Folder) -> None:
    audio = decoder.decode(DecodeJob(recording))
    assert audio == DecodedAudio(audio.tracks, 1_000, "wav", "pcm_s16le", 16_000, 1)
    assert [(track.channel, track.samples) for track in audio.tracks] == [(0, 16_000)]
    assert pcm(audio.tracks[0].path).tobytes() == recording.read_bytes()[44:]
    assert folder.left() == [audio.tracks[0].path.name]
    assert recording.exists()


def test_channels_come_back_as_tracks(decoder: Decoder, tmp_path: Path, folder: Folder) -> None:
    source = tmp_path / "stereo.mp3"
    source.write_bytes(encode("mp3", "libmp3lame", tone(1.0, 44_100, 2), 44_100))
    audio = decoder.decode(DecodeJob(source, split=True))
    assert [track.channel for track in audio.tracks] == [0, 1]
    assert {track.samples for track in audio.tracks} == {16_000}
    assert len(folder.left()) == 2


def test_one_process_serves_many_recordings(decoder: Decoder, recording: Path) -> None:
    decoder.decode(DecodeJob(recording))
    first = pids(decoder)
    for _ in range(5):
        decoder.decode(DecodeJob(recording))
    assert pids(decoder) == first
    assert len(first) == 1


def test_never_more_processes_than_allowed(decoder: Decoder, recording: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        audios = list(pool.map(lambda _: decoder.decode(DecodeJob(recording)), range(40)))
    assert len({audio.tracks[0].path for audio in audios}) == 40
    assert len(pids(decoder)) <= 2


def test_a_process_is_replaced_after_many_recordings(
    decoder: Decoder, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JOBS_PER_PROCESS", 2)
    seen = set()
    for _ in range(6):
        decoder.decode(DecodeJob(recording))
        seen |= pids(decoder)
    assert len(seen) == 3
    assert not any(running(pid) for pid in seen - pids(decoder))


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"This is a text.\n" * 100, NotMedia), (bytes(1_000), NotMedia), (video(), NoAudioStream)],
    ids=["text", "zeros", "video"],
)
def test_errors_keep_their_class_and_leave_nothing(
    decoder: Decoder, tmp_path: Path, folder: Folder, content: bytes, error: type[RecordingError]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    for split in (False, True):
        with pytest.raises(error):
            decoder.decode(DecodeJob(source, split))
    assert folder.left() == []
    assert len(pids(decoder)) == 1


def test_too_long(folder: Folder, long_recording: Path) -> None:
    with Decoder(LimitSettings(audio_seconds=60), folder) as decoder, pytest.raises(AudioTooLong):
        decoder.decode(DecodeJob(long_recording))
    assert folder.left() == []


def test_every_error_of_decoding_has_a_way_back() -> None:
    from consumer import errors  # noqa: PLC0415 - walks the module

    stages = {
        error.code: error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, RecordingError) and error.stage == "decode"
    }
    assert set(stages) - set(module.ERRORS) == {DecoderTimedOut.code}  # which only the parent can tell


def test_a_file_that_is_gone(decoder: Decoder, tmp_path: Path, recording: Path) -> None:
    with pytest.raises(DecoderCrashed, match="FileNotFoundError"):
        decoder.decode(DecodeJob(tmp_path / "nothing"))
    assert decoder.decode(DecodeJob(recording)).duration_ms == 1_000


def test_a_full_disk(limits: LimitSettings, folder: Folder, recording: Path) -> None:
    class Full(Folder):
        def new_path(self, suffix: str = "") -> Path:
            path = super().new_path(suffix)
            path.symlink_to("/dev/full")
            return path

    full = Full(folder.path)
    with Decoder(limits, full) as decoder, pytest.raises(SpoolFull, match=r"limits\.spool_dir"):
        decoder.decode(DecodeJob(recording))
    assert full.left() == []


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("os._exit(3)", "exit code 3"),
        ("raise RuntimeError('the end')", "exit code 1: RuntimeError: the end"),
        ("print('no json', flush=True); sys.stdin.readline()", "broke the protocol"),
        ("print('[]', flush=True); sys.stdin.readline()", "broke the protocol"),
        ("print('{\"done\": {}}', flush=True); sys.stdin.readline()", "no usable report"),
        ("print('x' * 3_000_000, flush=True); sys.stdin.readline()", "broke the protocol"),
        ("print('[' * 60_000, flush=True); sys.stdin.readline()", "broke the protocol"),
        ('print(\'{"code": "not_media", "message": "\\\\ud800"}\', flush=True); sys.stdin.readline()', "protocol"),
        ('print(\'{"done": {"tracks": Infinity}}\', flush=True); sys.stdin.readline()', "broke the protocol"),
        ('print(\'{"done": {"tracks": 1, "format": 0}}\', flush=True); sys.stdin.readline()', "no usable report"),
    ],
)
def test_a_process_that_breaks(limits: LimitSettings, folder: Folder, recording: Path, code: str, cause: str) -> None:
    with Decoder(limits, folder, command=script(READY + code)) as decoder:
        with pytest.raises(DecoderCrashed, match=cause):
            decoder.decode(DecodeJob(recording))
        assert folder.left() == []


def test_the_next_recording_gets_a_new_process(
    limits: LimitSettings, folder: Folder, recording: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "crashed"
    code = (
        "import os, pathlib, runpy, sys\n"
        f"flag = pathlib.Path({str(flag)!r})\n"
        "if flag.exists(): runpy.run_module('consumer.audio.worker', run_name='__main__'); sys.exit()\n"
        "flag.touch()\n" + READY + "os.abort()"
    )
    with Decoder(limits, folder, command=script(code)) as decoder:
        with pytest.raises(DecoderCrashed, match="SIGABRT"):
            decoder.decode(DecodeJob(recording))
        assert decoder.decode(DecodeJob(recording)).duration_ms == 1_000


def test_a_process_that_hangs_is_killed(folder: Folder, recording: Path) -> None:
    limits = LimitSettings(decode_seconds=1, decode_workers=1)
    with Decoder(limits, folder, command=script(READY + "signal.pause()")) as decoder:
        with pytest.raises(DecoderTimedOut, match=r"limits\.decode_seconds \(1 s\)"):
            decoder.decode(DecodeJob(recording))
        assert pids(decoder) == set()


def test_a_process_that_is_killed_in_the_middle(
    decoder: Decoder, folder: Folder, long_recording: Path, recording: Path
) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(decoder.decode, DecodeJob(long_recording))
        until(lambda: bool(folder.left()))
        (pid,) = pids(decoder)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(DecoderCrashed, match="killed by SIGKILL"):
            future.result(timeout=30)
    assert folder.left() == []
    assert decoder.decode(DecodeJob(recording)).duration_ms == 1_000
    assert pid not in pids(decoder)


def test_a_used_process_that_dies_costs_no_recording(
    decoder: Decoder, folder: Folder, long_recording: Path, recording: Path
) -> None:
    decoder.decode(DecodeJob(recording))
    before = set(folder.left())
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(decoder.decode, DecodeJob(long_recording))
        until(lambda: set(folder.left()) != before)
        (pid,) = pids(decoder)
        os.kill(pid, signal.SIGKILL)
        assert future.result(timeout=120).duration_ms == 3_600_000
    assert pid not in pids(decoder)


def test_an_idle_process_that_died_costs_no_recording(decoder: Decoder, recording: Path) -> None:
    decoder.decode(DecodeJob(recording))
    (pid,) = pids(decoder)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not running(pid))
    assert decoder.decode(DecodeJob(recording)).duration_ms == 1_000


@pytest.mark.parametrize(
    ("command", "reason"),
    [(("/nonexistent/python",), "no decoder process"), (script("raise ImportError('no av')"), "ImportError: no av")],
)
def test_a_process_that_does_not_start_stops_the_service(
    limits: LimitSettings, folder: Folder, recording: Path, command: tuple[str, ...], reason: str
) -> None:
    with Decoder(limits, folder, command=command) as decoder, pytest.raises(StageDied, match=reason):
        decoder.decode(DecodeJob(recording))


def test_closing_blames_no_recording(decoder: Decoder, folder: Folder, long_recording: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(decoder.decode, DecodeJob(long_recording))
        until(lambda: bool(folder.left()))
        known = pids(decoder)
        decoder.close()
        with pytest.raises(StageDied, match="closed"):
            future.result(timeout=30)
    assert not any(running(pid) for pid in known)
    assert folder.left() == []
    with pytest.raises(StageDied, match="closed"):
        decoder.decode(DecodeJob(long_recording))
    decoder.close()


def test_a_process_knows_no_secrets(decoder: Decoder, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "TINGXIE_STORAGE__SECRET_ACCESS_KEY", "KAFKA_PASSWORD"):
        monkeypatch.setenv(name, "do-not-tell")
    decoder.decode(DecodeJob(recording))
    (pid,) = pids(decoder)
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"do-not-tell" not in environment
    names = {line.partition(b"=")[0].decode() for line in environment.split(b"\0") if line}
    assert names <= {*module.KEPT_VARIABLES, "PYTHONPATH", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}


def test_a_process_is_confined(decoder: Decoder, recording: Path) -> None:
    decoder.decode(DecodeJob(recording))
    (pid,) = pids(decoder)
    limits = {line[:26].strip(): line[26:].split()[:2] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max address space"] == [str(1 << 30)] * 2
    assert int(limits["Max open files"][1]) <= 1024
    assert limits["Max processes"] == ["0", "0"]
    assert limits["Max file size"] == [str(7200 * 32_000 + (1 << 20))] * 2
    assert int(limits["Max cpu time"][0]) <= 600 + 2
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "500"
    assert os.getsid(pid) == pid  # a terminal's Ctrl-C does not reach it
    open_files = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert len([target for target in open_files if "socket" in target]) == 1  # the one it gets its work from
    assert not any("memory" in target for target in open_files)


def test_a_process_dies_with_its_parent(tmp_path: Path, long_recording: Path) -> None:
    spool = tmp_path / "orphan"
    spool.mkdir()
    code = (
        "import sys, threading, time; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "from consumer.audio.decoder import *; from tests.unit.audio.conftest import Folder\n"
        "decoder = Decoder(LimitSettings(), Folder(Path(sys.argv[2])))\n"
        "threading.Thread(target=decoder.decode, args=(DecodeJob(Path(sys.argv[1])),)).start()\n"
        "while not list(Path(sys.argv[2]).iterdir()): threading.Event().wait(0.01)\n"
        "print(*(worker.pid for worker in decoder._workers), flush=True)\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(long_recording), str(spool), str(root)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.kill()
    until(lambda: not running(pid))


def test_mutated_media_never_break_out(decoder: Decoder, tmp_path: Path) -> None:
    kinds = [
        ("wav", "pcm_s16le", 16_000),
        ("wav", "adpcm_ms", 22_050),
        ("w64", "pcm_s16le", 8_000),
        ("mp3", "libmp3lame", 44_100),
        ("ipod", "aac", 44_100),
        ("adts", "aac", 44_100),
        ("ogg", "libopus", 48_000),
        ("ogg", "flac", 16_000),
        ("flac", "flac", 44_100),
        ("webm", "libopus", 48_000),
        ("amr", "libopencore_amrnb", 8_000),
        ("aiff", "pcm_s16be", 44_100),
    ]
    random = np.random.default_rng(11)
    source = tmp_path / "mutant"
    ends: dict[str, int] = {}
    for container, codec, rate in kinds:
        whole = encode(container, codec, tone(0.5, rate), rate)
        for _ in range(30):
            data = bytearray(whole)
            # Most of what a container says stands at its ends.
            reach = len(data) if random.random() < 0.5 else min(len(data), 400)
            for _ in range(int(random.integers(1, 12))):
                at = int(random.integers(reach))
                data[-at if random.random() < 0.3 else at] = int(random.integers(256))
            if random.random() < 0.3:
                del data[int(random.integers(len(data))) :]
            source.write_bytes(data)
            try:
                audio = decoder.decode(DecodeJob(source, split=bool(random.random() < 0.3)))
            except RecordingError as error:
                end = error.code
            else:
                end = "decoded"
                assert audio.tracks
                assert all(track.samples > 0 for track in audio.tracks)
                for track in audio.tracks:
                    track.path.unlink()
            ends[end] = ends.get(end, 0) + 1
    assert sum(ends.values()) == 360
    assert ends["decoded"] > 100
    assert ends["not_media"] > 10
    assert ends.get("decoder_crashed", 0) == 0, ends
