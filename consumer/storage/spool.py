"""Where audio in work is kept: one private folder for each process, emptied when the process is gone."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from consumer.errors import NO_ROOM, SpoolFull, UsageError

PREFIX = "process-"
"""Names of the folders this program makes, and the only ones it ever removes."""

LOCK = "lock"
"""A file in each such folder, locked for as long as its process lives: the kernel drops the lock however it dies."""


class Spool:
    """A private folder (mode 0700) for the files of recordings in work.

    Several processes may share one directory, in one container or on one host. What dead processes left behind is
    removed at the start; a process counts as dead when nothing holds the lock of its folder, so that recycled process
    ids, which are common in containers, mislead nobody.
    """

    def __init__(self, directory: Path, keep_free: int = 0) -> None:
        """Take note of the directory (``limits.spool_dir``); nothing is touched before `open`.

        Args:
            directory: where the folder is made.
            keep_free: bytes of its disk that should stay free, see `crowded`.
        """
        self._directory = directory
        self._keep_free = keep_free
        self._folder: Path | None = None
        self._lock: BinaryIO | None = None
        self._numbers = itertools.count(1)

    @property
    def folder(self) -> Path:
        """This process's own folder.

        Raises:
            RuntimeError: the spool is not open.
        """
        if self._folder is None:
            raise RuntimeError("the spool is not open")
        return self._folder

    def open(self) -> Spool:
        """Make the folder and remove those of dead processes. Does nothing when already open.

        Raises:
            UsageError: the directory cannot be created or written.
        """
        if self._folder is not None:
            return self
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The directory's own lock closes the gap between making a folder and locking it, in which a process that
            # starts at the same moment would take it for a leftover.
            with (self._directory / ".lock").open("ab") as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                self._sweep()
                self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._directory))
                self._lock = (self._folder / LOCK).open("xb")
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._check_size()
        except KeyboardInterrupt:
            self.close()
            raise
        except OSError as error:
            self._folder = None
            raise UsageError(
                f"limits.spool_dir: {self._directory} cannot be used ({error.strerror or error}); "
                "name a directory that this user may create and write"
            ) from error
        return self

    def close(self) -> None:
        """Remove the folder with all that is in it; may be called twice."""
        folder, lock = self._folder, self._lock
        self._folder = self._lock = None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            lock.close()

    def __enter__(self) -> Spool:  # noqa: PYI034 - typing.Self came with Python 3.11
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def crowded(self, without: int = 0) -> bool:
        """Whether the disk has less room than should be left free (``limits.spool_free_bytes``).

        Args:
            without: bytes that lie in the spool, to see whether the disk would be crowded without them, too.
        """
        if not self._keep_free:
            return False
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize + without < self._keep_free

    def _check_size(self) -> None:
        """Refuse a disk on which nothing could ever be begun."""
        disk = os.statvfs(self.folder)
        if disk.f_blocks * disk.f_frsize <= self._keep_free:
            self.close()
            raise UsageError(
                f"limits.spool_free_bytes: {self._keep_free} is more than the disk of limits.spool_dir "
                f"({self._directory}) has; lower it, or give the spool a larger disk"
            )

    def new_path(self, suffix: str = "") -> Path:
        """A name in the folder that nothing else has; no file is made. Thread-safe."""
        return self.folder / f"{next(self._numbers):08d}{suffix}"

    def remove(self, path: Path) -> None:
        """Remove a file of this spool; one that is gone already is fine.

        Raises:
            ValueError: the path is not directly inside a folder of this spool, so it may be somebody's own file.
        """
        if path.parent.parent != self._directory or not path.parent.name.startswith(PREFIX):
            raise ValueError(f"{path} is not in the spool {self._directory}")
        path.unlink(missing_ok=True)

    @contextmanager
    def writing(self, path: Path) -> Iterator[BinaryIO]:
        """Open a new file of the spool for writing; whatever goes wrong inside, it does not stay.

        Raises:
            SpoolFull: the disk is full or a quota is used up.
            UsageError: the folder cannot be written any more (removed, or read-only).
        """
        try:
            file = path.open("wb")
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            with file:
                yield file
        except OSError as error:
            self.remove(path)
            if error.errno in NO_ROOM:
                raise self._unwritable(error) from error
            raise
        except BaseException:
            self.remove(path)
            raise

    def _unwritable(self, error: OSError) -> SpoolFull | UsageError:
        if error.errno in NO_ROOM:
            return SpoolFull(f"no room in limits.spool_dir {self._directory} ({error.strerror}); free or add space")
        return UsageError(f"limits.spool_dir: cannot write in {self._directory} any more ({error.strerror})")

    def _sweep(self) -> None:
        """Remove the folders whose processes are gone; the caller holds the directory's lock."""
        for folder in self._directory.glob(f"{PREFIX}*"):
            try:
                descriptor = os.open(folder / LOCK, os.O_RDWR)
            except FileNotFoundError:
                # Its process died between making the folder and its lock, or halfway through removing it.
                shutil.rmtree(folder, ignore_errors=True)
                continue
            except OSError:
                continue  # another user's
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # alive
            else:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
