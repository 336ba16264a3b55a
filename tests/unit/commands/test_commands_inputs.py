from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.commands.inputs import Input, _below, find_inputs
from consumer.errors import CredentialsRefused, EventInvalid, ObjectForbidden, ObjectMissing, UsageError
from consumer.events.recording import Options, Recording

OPTIONS = Options(channels="split")


class Bucket:
    """A storage with one bucket, as far as listing goes."""

    def __init__(self, *keys: str, error: Exception | None = None) -> None:
        self._keys = keys
        self._error = error

    def keys(self, bucket: str, prefix: str = "") -> Iterator[str]:
        if self._error is not None:
            raise self._error
        yield from (key for key in self._keys if bucket == "audio" and key.startswith(prefix))


def find(*paths: str | Path, bucket: Bucket | None = None) -> list[Input]:
    def objects() -> Bucket:
        assert bucket is not None, "the storage was asked for nothing"
        return bucket

    return find_inputs([str(path) for path in paths], OPTIONS, objects)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_are_taken_as_they_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "b.bin", tmp_path / "a.wav")
    first, second, missing = find(tmp_path / "b.bin", tmp_path / "a.wav", tmp_path / "not there.mp3")
    assert first == Input(
        f"{tmp_path}/b.bin", PurePosixPath("b.bin"), Recording(bucket="", key=f"{tmp_path}/b.bin", options=OPTIONS)
    )
    assert second.relative == PurePosixPath("a.wav")
    assert isinstance(missing.recording, Recording)  # the fetch stage says that it is missing


def test_folders_are_searched_for_media_in_order(tmp_path: Path) -> None:
    names = ("b/2.MP3", "b/1.wav", "a.flac", "notes.txt", ".hidden.wav", ".cache/c.wav", "b/c/d.opus")
    touch(*(tmp_path / name for name in names))
    found = find(tmp_path)
    assert [str(each.relative) for each in found] == ["a.flac", "b/1.wav", "b/2.MP3", "b/c/d.opus"]
    assert [each.name for each in found] == [f"{tmp_path}/{each.relative}" for each in found]


def test_nothing_is_transcribed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav")
    monkeypatch.chdir(tmp_path)
    assert [each.name for each in find("b.wav", ".", tmp_path / "a.wav")] == ["b.wav", "a.wav"]


def test_a_folder_without_media_is_a_failure(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    (only,) = find(tmp_path)
    assert isinstance(only.recording, ObjectMissing)
    assert "no media files" in str(only.recording)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_a_failure(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    (tmp_path / "closed").mkdir(mode=0)
    first, second = find(tmp_path)
    assert first.relative == PurePosixPath("a.wav")
    assert isinstance(second.recording, ObjectForbidden)


def test_a_name_that_is_no_unicode_is_a_failure(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")).touch()
    (only,) = find(tmp_path)
    assert isinstance(only.recording, EventInvalid)


def test_an_object_is_taken_as_it_is_named() -> None:
    (only,) = find("s3://audio/calls/a b+c%20&é.bin")
    assert only.name == "s3://audio/calls/a b+c%20&é.bin"
    assert only.recording == Recording(bucket="audio", key="calls/a b+c%20&é.bin", options=OPTIONS)
    assert only.relative == PurePosixPath("a b+c%20&é.bin")


@pytest.mark.parametrize(
    ("address", "relatives"),
    [
        ("s3://audio", ["calls/1.wav", "calls/x/2.ogg", "music.mp3"]),
        ("s3://audio/", ["calls/1.wav", "calls/x/2.ogg", "music.mp3"]),
        ("s3://audio/calls/", ["1.wav", "x/2.ogg"]),
    ],
)
def test_prefixes_are_searched_for_media(address: str, relatives: list[str]) -> None:
    bucket = Bucket("calls/1.wav", "calls/notes.txt", "calls/.x.wav", "calls/x/2.ogg", "music.mp3")
    found = find(address, bucket=bucket)
    assert [str(each.relative) for each in found] == relatives
    assert all(each.name.startswith("s3://audio/") for each in found)


@pytest.mark.parametrize("bucket", [Bucket(), Bucket(error=ObjectMissing("bucket audio: does not exist"))])
def test_a_prefix_with_nothing_in_it_is_a_failure(bucket: Bucket) -> None:
    (only,) = find("s3://audio/calls/", bucket=bucket)
    assert isinstance(only.recording, ObjectMissing)


def test_refused_credentials_stop_everything() -> None:
    with pytest.raises(CredentialsRefused):
        find("s3://audio/", bucket=Bucket(error=CredentialsRefused("no")))


@pytest.mark.parametrize("path", ["", "s3://", "s3:///x.wav"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        find(path)


@given(st.text())
def test_keys_never_lead_out_of_the_output_folder(key: str) -> None:
    relative = _below(key)
    assert not relative.is_absolute()
    assert ".." not in relative.parts
    assert "\0" not in str(relative)
    assert relative.name
