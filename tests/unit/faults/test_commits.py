from __future__ import annotations

import struct

import pytest

from consumer.kafka.metadata import Progress, encode
from consumer.kafka.records import Record
from tests.faults.commits import TOPIC, commits_of
from tests.faults.evidence import Commit


def text(value: str) -> bytes:
    return struct.pack(">h", len(value.encode())) + value.encode()


def compact(value: str) -> bytes:
    size = len(value.encode()) + 1
    return (bytes([size]) if size <= 0x7F else bytes([size & 0x7F | 0x80, size >> 7])) + value.encode()


def commit(
    group: str,
    partition: int,
    offset: int,
    metadata: str = "",
    *,
    version: int = 3,
    at_ms: int = 5,
    key_version: int = 1,
) -> Record:
    key = struct.pack(">h", key_version) + text(group) + text("uploads") + struct.pack(">i", partition)
    epoch = struct.pack(">i", -1) if version >= 3 else b""
    told = compact(metadata) if version >= 4 else text(metadata)
    tags = b"\x01\x00\x10" + bytes(16) if version >= 4 else b""  # the topic's id
    value = struct.pack(">hq", version, offset) + epoch + told + struct.pack(">q", at_ms) + tags
    return Record(TOPIC, 0, 0, key, value, [], at_ms)


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
def test_commits_of_the_group_are_read_in_order(version: int) -> None:
    records = [
        commit("ours", 1, 10, version=version),
        commit("theirs", 1, 99, version=version),
        commit("ours", 2, 11, version=version),
    ]
    assert commits_of(records, "ours") == (Commit("uploads", 1, 5, 10), Commit("uploads", 2, 5, 11))


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("end", ["", "\0"])
def test_what_the_metadata_tells_is_read(version: int, end: str) -> None:
    metadata = encode(Progress(10, 15, {10: 0, 13: 2}))
    (read,) = commits_of([commit("ours", 0, 10, metadata + end, version=version)], "ours")
    assert read.beyond == {11, 12, 14}


def test_long_metadata_is_read() -> None:
    metadata = encode(Progress(0, 2000, dict.fromkeys(range(0, 2000, 7), 0)))
    assert len(metadata) > 0x7F
    (read,) = commits_of([commit("ours", 0, 0, metadata, version=4)], "ours")
    assert read.beyond == {offset for offset in range(2000) if offset % 7}


def test_foreign_metadata_tells_nothing() -> None:
    (read,) = commits_of([commit("ours", 0, 10, "somebody else's")], "ours")
    assert read.beyond == frozenset()


def test_what_is_no_commit_is_left_out() -> None:
    deleted = commit("ours", 0, 10)
    records = [
        commit("ours", 0, 10, key_version=2),
        Record(TOPIC, 0, 1, deleted.key, None, [], 5),
    ]
    assert commits_of(records, "ours") == ()


def test_a_version_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="version 5"):
        commits_of([commit("ours", 0, 10, version=5)], "ours")
