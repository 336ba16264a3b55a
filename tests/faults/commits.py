"""What a group committed, read from the brokers' own record of it: the topic ``__consumer_offsets``. Pure.

Asking for committed offsets now and then would miss what was committed and overwritten in between. The topic has every
commit. Its format is public: OffsetCommitKey.json and OffsetCommitValue.json in the sources of Kafka.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from consumer.kafka.metadata import decode
from consumer.kafka.records import Record
from tests.faults.evidence import Commit

TOPIC = "__consumer_offsets"
COMMIT_KEYS = frozenset({0, 1})
"""Versions of a key that stand for an offset; others are of group metadata."""
KNOWN_VALUES = range(5)
WITH_EPOCH = 3
FLEXIBLE = 4
"""Versions from these on have the leader's epoch; have texts of compact form, and tagged fields at the end."""


def commits_of(records: Iterable[Record], group: str) -> tuple[Commit, ...]:
    """All commits of a group, in the order of the records.

    Args:
        records: of `TOPIC`, in order by partition; one group is in one partition.
        group: name.

    Raises:
        ValueError: a value has a version that is not known here.
    """
    return tuple(_commits(records, group))


def _commits(records: Iterable[Record], group: str) -> Iterator[Commit]:
    for record in records:
        key, value = _Fields(record.key or b""), _Fields(record.value or b"")
        # Without a value the offset was deleted: the topic or the group is gone.
        if key.take_short() not in COMMIT_KEYS or key.take_text() != group or record.value is None:
            continue
        topic, partition = key.take_text(), key.take_int()
        version = value.take_short()
        if version not in KNOWN_VALUES:
            raise ValueError(f"{TOPIC} has commits of version {version}, and versions up to 4 are known here")
        offset = value.take_long()
        if version >= WITH_EPOCH:
            value.take_int()
        metadata = value.take_compact_text() if version >= FLEXIBLE else value.take_text()
        # The C client sends the end of its string along.
        progress = decode(metadata.removesuffix("\0"), offset)
        beyond = frozenset(range(progress.base, progress.end)) - frozenset(progress.incomplete)
        yield Commit(topic, partition, record.timestamp_ms, offset, beyond)


class _Fields:
    """Reads the fields of a key or value in turn."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take_short(self) -> int:
        return self._number(">h")

    def take_int(self) -> int:
        return self._number(">i")

    def take_long(self) -> int:
        return self._number(">q")

    def take_text(self) -> str:
        return self._text(self.take_short())

    def take_compact_text(self) -> str:
        """Its length and one, in seven bits a byte, the lowest first."""
        size = shift = 0
        while True:
            byte = self._number(">B")
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte <= 0x7F:
                return self._text(size - 1)

    def _text(self, size: int) -> str:
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def _number(self, layout: str) -> int:
        (number,) = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return int(number)
