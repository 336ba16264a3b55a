from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumer.errors import RetryError, SpoolFull, UsageError
from consumer.storage.spool import Spool

HOLDER = (
    "import sys; from pathlib import Path; from consumer.storage.spool import Spool; "
    "s = Spool(Path(sys.argv[1])).open(); s.new_path('.x').touch(); print(s.folder, flush=True); sys.stdin.read()"
)


def test_folder_is_private_and_goes_away(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    with Spool(directory) as spool:
        folder = spool.folder
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        spool.new_path().write_bytes(b"left")
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="not open"):
        spool.new_path()
    spool.close()


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with Spool(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_opening_twice_keeps_the_folder(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        folder = spool.folder
        assert spool.open().folder == folder


def test_names_are_unique_across_threads(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool, ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: spool.new_path(".wav"), range(2_000)))
    assert len(set(paths)) == 2_000
    assert {path.suffix for path in paths} == {".wav"}


def test_removing_is_idempotent_and_bound_to_the_spool(tmp_path: Path) -> None:
    foreign = tmp_path / "precious.wav"
    foreign.touch()
    with Spool(tmp_path / "spool") as spool:
        path = spool.new_path()
        path.touch()
        spool.remove(path)
        spool.remove(path)
        assert not path.exists()
        with pytest.raises(ValueError, match="not in the spool"):
            spool.remove(foreign)
    assert foreign.exists()


def test_removing_works_after_closing(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        path = spool.new_path()
    spool.remove(path)


def test_only_folders_of_dead_processes_are_swept(tmp_path: Path) -> None:
    other = tmp_path / "not-ours"
    other.mkdir()
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    with holders[0] as dead, holders[1] as alive:
        assert dead.stdout is not None
        assert alive.stdout is not None
        left = Path(dead.stdout.readline().strip())
        kept = Path(alive.stdout.readline().strip())
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert len(list(left.iterdir())) == 2
        with Spool(tmp_path) as first, Spool(tmp_path) as second:
            assert not left.exists()
            assert len(list(kept.iterdir())) == 2
            assert first.folder.exists()
            assert second.folder.exists()
        assert other.exists()
        alive.kill()


def test_a_folder_without_a_lock_is_a_leftover(tmp_path: Path) -> None:
    left = tmp_path / "process-xyz"
    left.mkdir()
    (left / "00000001.object").touch()
    with Spool(tmp_path):
        assert not left.exists()


@pytest.mark.parametrize("kind", ["file", "below a file", "read-only"])
def test_a_directory_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    blocker = tmp_path / "blocker"
    directory = {"file": blocker, "below a file": blocker / "spool", "read-only": Path("/proc/tingxie")}[kind]
    blocker.touch()
    with pytest.raises(UsageError, match=r"limits\.spool_dir: .* cannot be used"):
        Spool(directory).open()


def test_a_full_disk_is_passing_trouble(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        path = spool.new_path()
        path.symlink_to("/dev/full")
        with pytest.raises(SpoolFull, match=r"limits\.spool_dir") as caught, spool.writing(path) as file:
            file.write(b"x" * 100_000)
        assert isinstance(caught.value, RetryError)
        assert (caught.value.code, caught.value.stage) == ("spool_full", "fetch")
        assert not path.is_symlink()


def test_a_full_disk_that_shows_only_at_the_end(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        path = spool.new_path()
        path.symlink_to("/dev/full")
        with pytest.raises(SpoolFull), spool.writing(path) as file:
            file.write(b"x")  # stays in the buffer until the file is closed


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        path = spool.new_path()
        with pytest.raises(ZeroDivisionError), spool.writing(path) as file:
            file.write(bytes(1 // (file.write(b"half") - 4)))
        assert not path.exists()
        with spool.writing(path) as file:
            file.write(b"whole")
        assert path.read_bytes() == b"whole"


def test_a_folder_that_was_removed_under_us(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        (spool.folder / "lock").unlink()
        spool.folder.rmdir()
        with pytest.raises(UsageError, match=r"limits\.spool_dir"), spool.writing(spool.new_path()):
            pytest.fail("there is nowhere to write")


def test_children_do_not_keep_the_lock(tmp_path: Path) -> None:
    # A decoder process that outlives its parent must not make the folder look alive.
    code = (
        "import subprocess, sys; from pathlib import Path; from consumer.storage.spool import Spool; "
        "s = Spool(Path(sys.argv[1])).open(); c = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL);"
        "print(c.pid, s.folder, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child, folder = parent.stdout.readline().split()
        parent.kill()
        parent.wait()
        try:
            with Spool(tmp_path):
                assert not Path(folder).exists()
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_a_disk_smaller_than_what_should_stay_free_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="spool_free_bytes"), Spool(tmp_path, keep_free=2**60):
        pass
    assert list(tmp_path.glob("process-*")) == []


def test_crowded_is_less_room_than_should_stay_free(tmp_path: Path) -> None:
    with Spool(tmp_path, keep_free=shutil.disk_usage(tmp_path).total - 1) as spool:
        assert spool.crowded()
        assert not spool.crowded(without=shutil.disk_usage(tmp_path).total)
    with Spool(tmp_path, keep_free=1) as spool:
        assert not spool.crowded()
    with Spool(tmp_path) as spool:
        assert not spool.crowded()
