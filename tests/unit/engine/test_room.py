from __future__ import annotations

from pathlib import Path

import pytest

from consumer.engine import room


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "meminfo").write_text("MemTotal:  2000 kB\nMemAvailable:   1000 kB\n")
    monkeypatch.setattr(room, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(room, "_GROUP", tmp_path)
    return tmp_path


def limit(machine: Path, *, most: str, used: int, files: int) -> None:
    (machine / "memory.max").write_text(f"{most}\n")
    (machine / "memory.current").write_text(f"{used}\n")
    (machine / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")


def test_without_a_limit_it_is_what_the_machine_has(machine: Path) -> None:
    assert room.free_memory() == 1_024_000
    limit(machine, most="max", used=5, files=0)
    assert room.free_memory() == 1_024_000


def test_a_container_has_what_its_limit_leaves_and_pages_of_files_do_not_count(machine: Path) -> None:
    limit(machine, most="1000000", used=700_000, files=100_000)
    assert room.free_memory() == 400_000


def test_where_the_system_tells_nothing_nothing_is_known(machine: Path) -> None:
    (machine / "meminfo").unlink()
    assert room.free_memory() is None
