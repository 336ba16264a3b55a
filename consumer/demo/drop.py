"""The watched folder of ``tingxie demo --keep``: which files in it are complete."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from watchfiles import watch

from consumer.errors import StageDied

QUIET_S = 1.0
"""A file counts as complete when it has not changed for so long: copies come in bursts, also over networks."""

QUIET_EMPTY_S = 5.0
"""An empty file is more often the beginning of a slow copy than a mistake."""

PARTIAL = (".part", ".partial", ".crdownload", ".download", ".tmp", ".temp", ".swp", "~")
"""Endings under which browsers, editors and copy tools write what is not complete."""


def is_taken(path: Path) -> bool:
    """Whether a name (relative to the folder) is one to transcribe: not hidden, not in a hidden folder, not partial."""
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and not path.name.casefold().endswith(PARTIAL)


@dataclass(frozen=True, slots=True)
class Look:
    """What a file looked like at some time."""

    size: int
    mtime_ns: int


class Settling:
    """Files that changed, until they have been quiet for `QUIET_S`. Pure."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[Look, float]] = {}
        self._taken: dict[Path, Look] = {}

    @property
    def pending(self) -> tuple[Path, ...]:
        """Files to look at."""
        return tuple(self._seen)

    def look(self, path: Path, look: Look | None, now: float) -> bool:
        """Note what a file looks like now.

        Args:
            path: the file.
            look: None when it is not there any more.
            now: monotonic seconds.

        Returns:
            Whether it is complete; true once for each content, as far as size and time of change tell.
        """
        if look is None:
            self._seen.pop(path, None)
            self._taken.pop(path, None)
            return False
        if self._taken.get(path) == look:
            self._seen.pop(path, None)
            return False
        before, since = self._seen.get(path, (None, now))
        if before != look:
            self._seen[path] = (look, now)
            return False
        if now - since < (QUIET_S if look.size else QUIET_EMPTY_S):
            return False
        del self._seen[path]
        self._taken[path] = look
        return True


class DropFolder:
    """Watches a folder, with all folders in it, on a thread of its own."""

    def __init__(self, folder: Path) -> None:
        """Start to watch. The folder exists; what is in it already counts as dropped."""
        self._folder = folder
        self._settling = Settling()
        self._changed: SimpleQueue[Path] = SimpleQueue()
        self._stop = threading.Event()
        self._death: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, name="drop-folder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; blocks for less than a second."""
        self._stop.set()
        self._thread.join(timeout=5)

    def complete(self, now: float) -> list[Path]:
        """Files that are complete since the last call. Never blocks for longer than the file system does.

        Raises:
            StageDied: the folder cannot be watched (any more).
        """
        if self._death is not None:
            raise StageDied(f"cannot watch {self._folder}: {self._death}") from self._death
        candidates = dict.fromkeys(self._settling.pending)
        while not self._changed.empty():
            candidates.update(dict.fromkeys(self._files(self._changed.get())))
        return [path for path in candidates if self._settling.look(path, _look(path), now)]

    def name(self, path: Path) -> str:
        """The key a file is uploaded under: its path inside the folder."""
        return path.relative_to(self._folder).as_posix()

    def _files(self, path: Path) -> Iterator[Path]:
        """Files to take at a path that changed; a folder that was moved in is told of as a whole."""
        for each in sorted(path.rglob("*")) if path.is_dir() else (path,):
            if each.is_file() and is_taken(each.relative_to(self._folder)):
                yield each

    def _watch(self) -> None:
        scanned = False
        try:
            for changes in watch(
                self._folder,
                watch_filter=None,
                debounce=200,
                rust_timeout=200,
                yield_on_timeout=True,
                stop_event=self._stop,
            ):
                if not scanned:
                    # Only now is the watch surely set up: looking around earlier could miss a file in between.
                    self._changed.put(self._folder)
                    scanned = True
                for _, path in changes:
                    self._changed.put(Path(path))
        except BaseException as death:  # noqa: BLE001 - supervised: `complete` raises it
            self._death = death


def _look(path: Path) -> Look | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return Look(status.st_size, status.st_mtime_ns)
