"""What ``tingxie transcribe`` was asked to transcribe: files, folders, objects and prefixes, in the order given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from consumer.errors import EventInvalid, ObjectForbidden, ObjectMissing, RecordingError, UsageError
from consumer.events.recording import Options, Recording

S3 = "s3://"

MEDIA = frozenset(
    f".{name}"
    for names in (
        ("aac", "ac3", "aif", "aiff", "amr", "ape", "au", "caf", "flac", "m4a", "m4b", "mka", "mp2", "mp3"),
        ("oga", "ogg", "opus", "ra", "spx", "wav", "wma", "wv"),
        ("3gp", "avi", "flv", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
    for name in names
)
"""File names in folders and prefixes that are taken for recordings; a file named by itself may be called anything."""


class Objects(Protocol):
    """The part of an object storage needed here."""

    def keys(self, bucket: str, prefix: str = "") -> Iterator[str]:
        """Names of a bucket's objects; raises `TingxieError`."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to transcribe.

    Attributes:
        name: as a person knows it: a path or an ``s3://`` address.
        relative: its place below an output folder, extension included; never leads out of it.
        recording: what to transcribe, or why it is none.
    """

    name: str
    relative: PurePosixPath
    recording: Recording | RecordingError


def find_inputs(paths: Iterable[str], options: Options, objects: Callable[[], Objects]) -> list[Input]:
    """Everything that the paths name, each once.

    Args:
        paths: files, folders (searched for media files, hidden ones left out), ``s3://bucket/key``, and
            ``s3://bucket`` or ``s3://bucket/prefix/`` (likewise).
        options: of all recordings.
        objects: gives the object storage; called only for prefixes.

    Raises:
        UsageError: a path is no path at all.
        StopError: the object storage refused the credentials.
    """
    found: dict[str, Input] = {}
    for path in paths:
        if not path:
            raise UsageError("an empty path: give files, folders, s3://bucket/key or s3://bucket/prefix/")
        for each in _from_storage(path, options, objects) if path.startswith(S3) else _from_disk(path, options):
            found.setdefault(each.name if path.startswith(S3) else os.path.realpath(each.name), each)
    return list(found.values())


def _from_disk(path: str, options: Options) -> Iterator[Input]:
    root = Path(path)
    if not root.is_dir():
        yield _input(path, PurePosixPath(root.name), "", path, options)
        return
    problems: list[OSError] = []
    files = [Path(folder, name) for folder, folders, names in _walk(root, problems) for name in names if is_media(name)]
    for file in sorted(files):
        yield _input(str(file), PurePosixPath(file.relative_to(root)), "", str(file), options)
    for problem in problems:
        name = os.fsdecode(problem.filename)
        yield _failed(name, ObjectForbidden(f"{name}: the folder cannot be read ({problem.strerror})"))
    if not files and not problems:
        yield _failed(path, ObjectMissing(f"{path}: no media files in this folder; name a file to have it tried"))


def _walk(root: Path, problems: list[OSError]) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, names in os.walk(root, onerror=problems.append):
        folders[:] = [each for each in folders if not each.startswith(".")]
        yield folder, folders, names


def _from_storage(address: str, options: Options, objects: Callable[[], Objects]) -> Iterator[Input]:
    bucket, _, key = address.removeprefix(S3).partition("/")
    if not bucket:
        raise UsageError(f"{address}: no bucket; write s3://bucket/key or s3://bucket/prefix/")
    if key and not key.endswith("/"):
        yield _input(address, _below(key.rsplit("/", 1)[-1]), bucket, key, options)
        return
    count = 0
    try:
        for each in objects().keys(bucket, key):
            if is_media(each):
                count += 1
                yield _input(f"{S3}{bucket}/{each}", _below(each.removeprefix(key)), bucket, each, options)
    except RecordingError as error:
        yield _failed(address, error)
        return
    if not count:
        yield _failed(address, ObjectMissing(f"{address}: no media files there; name an object to have it tried"))


def is_media(name: str) -> bool:
    """Whether a file is called like a recording, and is not hidden."""
    path = PurePosixPath(name)
    return not path.name.startswith(".") and path.suffix.lower() in MEDIA


def _below(key: str) -> PurePosixPath:
    """A key as a relative path that stays below its folder: keys may hold ``..``, and what no file name may hold."""
    parts = [part.replace("\0", "�") for part in key.split("/") if part not in {"", ".", ".."}]
    return PurePosixPath(*(parts or ["unnamed"]))


def _input(name: str, relative: PurePosixPath, bucket: str, key: str, options: Options) -> Input:
    try:
        name.encode()
    except UnicodeEncodeError:
        return _failed(name, EventInvalid(f"{name}: the name is not valid Unicode; rename the file"))
    return Input(name, relative, Recording(bucket=bucket, key=key, options=options))


def _failed(name: str, error: RecordingError) -> Input:
    return Input(name, PurePosixPath("unnamed"), error)
