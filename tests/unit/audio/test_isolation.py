"""What a hostile recording costs: itself, and nothing else. Real processes, real files."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from consumer.audio import landlock
from consumer.audio.decoder import DecodeJob, Decoder
from consumer.demo.assets import SAMPLES
from consumer.errors import (
    AudioTooLong,
    AudioUnsupported,
    DecoderCrashed,
    DecoderTimedOut,
    NotMedia,
    RecordingError,
)
from consumer.settings import LimitSettings
from tests.unit.audio import bombs
from tests.unit.audio.conftest import Folder
from tests.unit.audio.media import tone, wav

Write = Callable[[bytes], Path]

HOSTILE = (sys.executable, "-m", "tests.unit.audio.hostile_worker")
LIMITS = LimitSettings(
    decode_workers=2, decode_seconds=6, decode_cpu_seconds=2, decode_bytes=512 * 1024**2, audio_seconds=600, channels=8
)
PATIENT = LIMITS.model_copy(update={"decode_seconds": 120, "decode_cpu_seconds": 120})

# By attack: how its recording ends.
ENDS: dict[str, tuple[type[RecordingError], str]] = {
    "segfault": (DecoderCrashed, "killed by SIGSEGV"),
    "hang": (DecoderTimedOut, r"limits\.decode_seconds \(6 s\)"),
    "burn": (DecoderTimedOut, r"limits\.decode_cpu_seconds \(2 s\)"),
    "allocate": (DecoderCrashed, r"limits\.decode_bytes \(536870912\)"),
    "fill": (AudioTooLong, r"limits\.audio_seconds \(600 s\)"),
}


@pytest.fixture
def hostile(folder: Folder) -> Iterator[Decoder]:
    with Decoder(LIMITS, folder, command=HOSTILE) as decoder:
        yield decoder


@pytest.fixture
def patient(folder: Folder) -> Iterator[Decoder]:
    """The real processes, with time enough on a busy machine for what another limit should stop."""
    with Decoder(PATIENT, folder) as decoder:
        yield decoder


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(content: bytes) -> Path:
        path = tmp_path / "hostile"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("attack", ENDS)
def test_an_attack_ends_as_its_limit_says(folder: Folder, written: Write, attack: str) -> None:
    error, message = ENDS[attack]
    # On a busy machine, what waits for a processor would run out of wall time first.
    limits = LIMITS if attack == "hang" else LIMITS.model_copy(update={"decode_seconds": 120})
    with Decoder(limits, folder, command=HOSTILE) as decoder:
        with pytest.raises(error, match=message):
            decoder.decode(DecodeJob(written(attack.encode())))
        assert folder.left() == []
        # Whatever the attack left of the process, the next recording is decoded.
        assert decoder.decode(DecodeJob(SAMPLES / "meeting.wav")).duration_ms == 4_656


def test_an_attack_costs_its_own_recording_only(hostile: Decoder, folder: Folder, tmp_path: Path) -> None:
    # Two attacks of each kind among the samples, over two processes: each process is attacked and replaced in turn.
    good = [SAMPLES / name for name in ("meeting.wav", "podcast.mp3", "voice note.ogg", "产品演示.mp4", "studio.flac")]
    jobs = []
    for number, attack in enumerate([*ENDS, *ENDS]):
        path = tmp_path / f"{attack}-{number}"
        path.write_bytes(attack.encode())
        jobs += [path, *good]
    alone = {path: hostile.decode(DecodeJob(path)).duration_ms for path in good}

    def end(path: Path) -> int | RecordingError:
        try:
            return hostile.decode(DecodeJob(path)).duration_ms
        except RecordingError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        ends = list(zip(jobs, pool.map(end, jobs), strict=True))
    for path, ended in ends:
        if path in alone:
            assert ended == alone[path]
        else:
            assert type(ended) is ENDS[path.name.partition("-")[0]][0]
    assert len(folder.left()) == len(good) * 11


def test_what_a_process_that_was_taken_over_can_reach(hostile: Decoder, written: Write) -> None:
    if landlock.version() < 6:
        pytest.skip(f"the kernel offers Landlock version {landlock.version()}; all of this needs 6 (Linux 6.12)")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(NotMedia) as refused:
            hostile.decode(DecodeJob(written(f"probe {port}".encode())))
    # Datagrams stay where users may have no network namespace of their own; see docs/isolation.md.
    assert set(json.loads(str(refused.value))) <= {"send a datagram"}
    (worker,) = hostile._workers
    status = dict(line.split(":\t") for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    assert status["Threads"] == "2"


def test_the_same_attempts_succeed_without_the_limits(tmp_path: Path) -> None:
    # The probe itself, in a process that has given up nothing: else the test before could not fail.
    source = tmp_path / "probe"
    with socket.create_server(("127.0.0.1", 0)) as server:
        source.write_text(f"probe {server.getsockname()[1]}")
        code = (
            "import os, sys; from tests.unit.audio import hostile_worker as module; os.execv = lambda *_: None\n"
            "from consumer.audio.decode import Request\n"
            "module.probe(Request(open(sys.argv[1], 'rb'), (), False, 1, 1, (1, 2)))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=False)
    assert len(json.loads(done.stderr.strip().splitlines()[-1].partition(": ")[2])) == 11


def test_what_a_process_gave_up_is_told(patient: Decoder) -> None:
    confined = patient.confinement()
    assert confined.landlock == landlock.version()
    (worker,) = patient._workers
    own = Path(f"/proc/{worker.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    assert confined.own_network == own
    patient.decode(DecodeJob(SAMPLES / "meeting.wav"))
    assert {each.pid for each in patient._workers} == {worker.pid}


@pytest.mark.parametrize(
    "content",
    [
        lambda: bombs.flac(13),
        lambda: bombs.flac_inside("ogg", 13),
        lambda: bombs.flac_inside("matroska", 13),
        lambda: bombs.gaps(13),
    ],
    ids=["flac", "ogg", "matroska", "gaps"],
)
@pytest.mark.parametrize("split", [False, True], ids=["mix", "split"])
def test_hours_in_kilobytes(
    patient: Decoder, folder: Folder, written: Write, content: Callable[[], bytes], split: bool
) -> None:
    bomb = content()
    assert len(bomb) < 200_000
    with pytest.raises(AudioTooLong, match=r"limits\.audio_seconds \(600 s\)"):
        patient.decode(DecodeJob(written(bomb), split))
    assert folder.left() == []


def test_hours_in_kilobytes_are_there_when_they_are_allowed(folder: Folder, written: Write) -> None:
    # So the bombs above are whole recordings, and end by their length alone.
    with Decoder(LimitSettings(), folder) as decoder:
        audio = decoder.decode(DecodeJob(written(bombs.flac(0.5))))
    assert audio.duration_ms == pytest.approx(1_800_000, abs=20_000)
    assert audio.warnings == ()


@pytest.mark.parametrize("entries", [8_000_000, 400_000_000], ids=["it fits", "it does not fit"])
def test_an_index_of_gigabytes_in_kilobytes(patient: Decoder, folder: Folder, written: Write, entries: int) -> None:
    bomb = bombs.index(entries)  # 24 bytes each
    assert len(bomb) < 10_000
    with pytest.raises(NotMedia, match="nothing of it can be decoded"):
        patient.decode(DecodeJob(written(bomb)))
    assert folder.left() == []
    assert patient.decode(DecodeJob(SAMPLES / "meeting.wav")).duration_ms == 4_656


def test_a_recording_that_takes_too_much_memory(patient: Decoder, folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "tracks.mkv"
    bombs.private(path, megabytes=250, tracks=1)
    with pytest.raises(DecoderCrashed, match=r"more memory than limits\.decode_bytes \(536870912\)"):
        patient.decode(DecodeJob(path))
    assert folder.left() == []
    assert patient.decode(DecodeJob(SAMPLES / "meeting.wav")).duration_ms == 4_656


def test_a_recording_that_takes_too_much_processor_time(folder: Folder, tmp_path: Path) -> None:
    limits = LimitSettings(decode_cpu_seconds=1, decode_seconds=120)
    path = tmp_path / "long.wav"
    bombs.sparse(path, 11)
    with Decoder(limits, folder) as decoder:
        with pytest.raises(DecoderTimedOut, match=r"processor time than limits\.decode_cpu_seconds \(1 s\)"):
            decoder.decode(DecodeJob(path))
        assert folder.left() == []
        assert decoder._workers == set()


def test_processor_time_counts_for_each_recording_anew(folder: Folder, tmp_path: Path) -> None:
    limits = LimitSettings(decode_cpu_seconds=1, decode_workers=1, audio_seconds=300)
    path = tmp_path / "long.wav"
    bombs.sparse(path, 1)  # some tenths of a second until it is too long
    spent = 0.0
    with Decoder(limits, folder) as decoder:
        while spent < 2.5:
            with pytest.raises(AudioTooLong):
                decoder.decode(DecodeJob(path))
            (worker,) = decoder._workers
            fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
            spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        assert worker.jobs > 2


def test_a_real_decode_that_stands_still_is_killed(folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    bombs.sparse(path, 11)
    with Decoder(LimitSettings(decode_seconds=2), folder) as decoder, ThreadPoolExecutor(1) as pool:
        future = pool.submit(decoder.decode, DecodeJob(path))
        while not folder.left():
            assert not future.done()
        (worker,) = decoder._workers
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(DecoderTimedOut, match=r"limits\.decode_seconds \(2 s\)"):
            future.result(timeout=60)
        assert folder.left() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wav(np.zeros((100, 9), np.int16)), r"9 channels, more than limits\.channels \(8\)"),
        (wav(np.zeros(100, np.int16), 3_999), r"3999 Hz, less than limits\.lowest_sample_rate \(4000 Hz\)"),
        (wav(np.zeros(100, np.int16), 384_001), r"384001 Hz, more than limits\.highest_sample_rate \(384000 Hz\)"),
    ],
)
def test_shapes_beyond_the_limits_name_the_setting(
    patient: Decoder, written: Write, content: bytes, message: str
) -> None:
    with pytest.raises(AudioUnsupported, match=message):
        patient.decode(DecodeJob(written(content)))


def test_limits_of_the_rate_are_settings(folder: Folder, written: Write) -> None:
    low = written(wav((tone(1.0, 3_000)[0] * 32767).astype(np.int16), 3_000))
    with Decoder(LimitSettings(lowest_sample_rate=3_000, highest_sample_rate=3_000), folder) as decoder:
        assert decoder.decode(DecodeJob(low)).duration_ms == pytest.approx(1_000, abs=5)
        with pytest.raises(AudioUnsupported, match="highest_sample_rate"):
            decoder.decode(DecodeJob(SAMPLES / "meeting.wav"))
