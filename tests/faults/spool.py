"""A small file system for the spool, so that its disk can be full without filling the machine's."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SIZE_MIB = 64
BLOCK = bytes(64 * 1024)


@cache
def may_mount() -> bool:
    """Whether this user may mount a file system here, as root of a machine may and in most containers nobody may."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory(prefix="tingxie-mount-") as folder:
        if not _mount(Path(folder)):
            return False
        _unmount(Path(folder))
        return True


@contextmanager
def small_spool(folder: Path) -> Iterator[Path]:
    """The folder, as a file system of its own of `SIZE_MIB` where that is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = may_mount() and _mount(folder)
    try:
        yield folder
    finally:
        if mounted:
            _unmount(folder)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No room is left inside; leaving gives it back."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(BLOCK):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        yield
    finally:
        filler.unlink(missing_ok=True)


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0700", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _unmount(folder: Path) -> None:
    # Lazily: a member that was killed a moment ago may still be going.
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
