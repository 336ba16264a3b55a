from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.demo.drop import QUIET_EMPTY_S, QUIET_S, DropFolder, Look, Settling, is_taken
from consumer.errors import StageDied

FILE = Path("a.wav")


@pytest.mark.parametrize("name", ["a.wav", "calls/2026/录音 a+b.MP3", "no-ending", "part.wav"])
def test_recordings_are_taken(name: str) -> None:
    assert is_taken(Path(name))


@pytest.mark.parametrize(
    "name", [".a.wav", "._a.wav", ".sync/a.wav", "a.wav.part", "a.wav.CRDOWNLOAD", "a.wav~", "x/a.tmp"]
)
def test_hidden_and_partial_files_are_not(name: str) -> None:
    assert not is_taken(Path(name))


def test_a_file_is_complete_when_it_was_quiet() -> None:
    settling = Settling()
    assert not settling.look(FILE, Look(10, 1), 0.0)
    assert not settling.look(FILE, Look(20, 2), 0.9)
    assert settling.pending == (FILE,)
    assert not settling.look(FILE, Look(20, 2), 0.9 + QUIET_S * 0.9)
    assert settling.look(FILE, Look(20, 2), 1.0 + QUIET_S)
    assert len(settling.pending) == 0


def test_the_same_content_is_taken_once_and_new_content_again() -> None:
    settling = Settling()
    settling.look(FILE, Look(10, 1), 0.0)
    assert settling.look(FILE, Look(10, 1), 2.0)
    assert not settling.look(FILE, Look(10, 1), 4.0)
    assert settling.pending == ()
    assert not settling.look(FILE, Look(10, 7), 5.0)
    assert settling.look(FILE, Look(10, 7), 7.0)


def test_an_empty_file_gets_more_time() -> None:
    settling = Settling()
    settling.look(FILE, Look(0, 1), 0.0)
    assert not settling.look(FILE, Look(0, 1), QUIET_EMPTY_S - 0.1)
    assert settling.look(FILE, Look(0, 1), QUIET_EMPTY_S)


def test_a_file_that_goes_is_forgotten() -> None:
    settling = Settling()
    settling.look(FILE, Look(10, 1), 0.0)
    assert not settling.look(FILE, None, 0.5)
    assert settling.pending == ()
    assert not settling.look(FILE, Look(10, 1), 9.0)
    assert settling.look(FILE, Look(10, 1), 10.0)


@given(st.lists(st.tuples(st.floats(0.01, 3), st.integers(1, 3)), min_size=1, max_size=40))
def test_nothing_is_taken_within_a_quiet_period_of_its_last_change(steps: list[tuple[float, int]]) -> None:
    settling, now, changed, last = Settling(), 0.0, 0.0, 0
    for wait, size in steps:
        now += wait
        if size != last:
            changed, last = now, size
        if settling.look(FILE, Look(size, size), now):
            assert now - changed >= QUIET_S


def found(dropped: DropFolder, wanted: int) -> list[str]:
    """Names in the order of their completion, until so many came and a quiet period in which no other did."""
    names: list[str] = []
    end = deadline = time.monotonic() + 30
    while time.monotonic() < end:
        names += [dropped.name(path) for path in dropped.complete(time.monotonic())]
        if len(names) >= wanted and end == deadline:
            end = min(deadline, time.monotonic() + 2 * QUIET_S)
    return names


def test_files_of_a_folder_are_found_however_they_come(tmp_path: Path) -> None:
    folder, aside = tmp_path / "drop", tmp_path / "aside"
    (folder / "before").mkdir(parents=True)
    (folder / "before" / "there already.wav").write_bytes(b"x")
    aside.mkdir()
    (aside / "moved in.wav").write_bytes(b"x")
    with closing(DropFolder(folder)) as dropped:
        assert found(dropped, 1) == ["before/there already.wav"]

        (folder / "written.wav").write_bytes(b"x")
        (folder / ".hidden.wav").write_bytes(b"x")
        (folder / "download.wav.part").write_bytes(b"x")
        os.mkfifo(folder / "no file.wav")
        shutil.move(aside, folder / "moved")
        assert sorted(found(dropped, 2)) == ["moved/moved in.wav", "written.wav"]

        (folder / "download.wav.part").rename(folder / "download.wav")
        (folder / "written.wav").write_bytes(b"something else")
        assert sorted(found(dropped, 2)) == ["download.wav", "written.wav"]


def test_a_folder_that_cannot_be_watched_stops_the_demo(tmp_path: Path) -> None:
    with closing(DropFolder(tmp_path / "nowhere")) as dropped:
        deadline = time.monotonic() + 20

        def complete() -> None:
            while time.monotonic() < deadline:
                dropped.complete(time.monotonic())

        with pytest.raises(StageDied, match="nowhere"):
            complete()
