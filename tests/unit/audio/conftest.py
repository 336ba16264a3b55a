"""A folder that stands in for the spool."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest


class Folder:
    """What decoding needs of a spool, in a plain folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = itertools.count()

    def new_path(self, suffix: str = "") -> Path:
        return self.path / f"{next(self._numbers)}{suffix}"

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "scratch"
    path.mkdir()
    return Folder(path)
