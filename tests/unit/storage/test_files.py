from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.errors import DeadLetterError, ObjectEmpty, ObjectForbidden, ObjectMissing, ObjectTooLarge, UsageError
from consumer.events.recording import Recording
from consumer.settings import LimitSettings
from consumer.storage.files import LocalFetcher
from consumer.storage.objects import ObjectFetcher
from consumer.storage.spool import Spool


def local(path: Path | str) -> Recording:
    return Recording(bucket="", key=str(path))


@pytest.fixture
def files(spool: Spool) -> LocalFetcher:
    return LocalFetcher(None, LimitSettings(object_bytes=100), spool)


def test_the_users_file_outlives_what_is_handed_out(files: LocalFetcher, spool: Spool, tmp_path: Path) -> None:
    file = tmp_path / "会议 a+b.wav"
    file.write_bytes(b"audio")
    stored = files.fetch(local(file))
    assert stored.path.read_bytes() == b"audio"
    assert (stored.size, stored.version_id) == (5, None)
    spool.remove(stored.path)
    assert not stored.path.is_symlink()
    assert file.read_bytes() == b"audio"


def test_relative_names(files: LocalFetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.wav").write_bytes(b"audio")
    monkeypatch.chdir(tmp_path)
    stored = files.fetch(local("a.wav"))
    monkeypatch.chdir("/")
    assert stored.path.read_bytes() == b"audio"


def test_the_etag_follows_the_content(files: LocalFetcher, tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"audio")
    os.utime(file, ns=(1, 1))
    first = files.fetch(local(file)).etag
    assert files.fetch(local(file)).etag == first
    os.utime(file, ns=(2, 2))
    assert files.fetch(local(file)).etag != first


def test_what_cannot_be_read(files: LocalFetcher, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "large.wav").write_bytes(bytes(101))
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        cases: list[tuple[str, type[DeadLetterError], str]] = [
            ("nothing.wav", ObjectMissing, "no such file"),
            ("dangling.wav", ObjectMissing, "no such file"),
            ("empty.wav/below", ObjectMissing, "no such file"),
            ("nul\0.wav", ObjectMissing, "no such file"),
            ("x" * 300, ObjectMissing, "no such file"),
            ("empty.wav", ObjectEmpty, "no bytes"),
            ("large.wav", ObjectTooLarge, r"limits\.object_bytes \(100 bytes\)"),
            (".", ObjectForbidden, "a folder"),
            ("socket", ObjectForbidden, "no regular file"),
        ]
        for name, error, message in cases:
            with pytest.raises(error, match=message):
                files.fetch(local(tmp_path / name))


@pytest.fixture
def closed() -> Iterator[Path]:
    """A file nobody may read in a folder anybody may enter; pytest's own folders are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "inner" / "a.wav"
        file.parent.mkdir()
        file.write_bytes(b"audio")
        file.chmod(0)
        yield file
        file.parent.chmod(0o700)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read every file; be another user for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_may_not_be_read(files: LocalFetcher, closed: Path) -> None:
    with as_nobody(), pytest.raises(ObjectForbidden, match="may not be read"):
        files.fetch(local(closed))


def test_a_folder_that_may_not_be_entered(files: LocalFetcher, closed: Path) -> None:
    closed.parent.chmod(0)
    with as_nobody(), pytest.raises(ObjectForbidden, match="may not be entered"):
        files.fetch(local(closed))


def test_objects_are_left_to_the_object_storage(fetcher: ObjectFetcher, files: LocalFetcher, spool: Spool) -> None:
    with pytest.raises(UsageError, match="no object storage"):
        files.fetch(Recording(bucket="calls", key="a.wav"))
    both = LocalFetcher(fetcher, LimitSettings(), spool)
    with pytest.raises(ObjectMissing, match="NoSuchBucket"):
        both.fetch(Recording(bucket="no-such-bucket", key="a.wav"))
