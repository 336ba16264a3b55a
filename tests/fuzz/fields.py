"""Where the numbers stand that hold a container together: sizes, counts, times. Wrong guesses do no harm."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

MOST = 400
"""Fields looked for in a file; a long recording has thousands of frames, all alike."""

MP4_FOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"dinf", b"mvex"})
MP4_TABLES = frozenset(
    {b"stsz", b"stts", b"stsc", b"stco", b"co64", b"ctts", b"stsd", b"elst", b"mvhd", b"mdhd", b"esds"}
)
EBML_FOLDERS = frozenset({0x18538067, 0x1654AE6B, 0xAE, 0xE1, 0x1F43B675, 0xA0, 0x114D9B74, 0x1C53BB6B, 0x1549A966})


class Field(NamedTuple):
    """A number in a file: offset, bytes, byte order."""

    at: int
    width: int
    order: Literal["little", "big"]


def fields(data: bytes) -> Iterator[Field]:
    """Numbers of a file's structure, in their order, `MOST` at most."""
    for field, _ in zip(_walk(data), range(MOST), strict=False):
        if field.at + field.width <= len(data):
            yield field


def _walk(data: bytes) -> Iterator[Field]:
    if data[:4] in {b"RIFF", b"RF64", b"RIFX", b"FORM"}:
        yield from _chunks(data, "big" if data[:4] in {b"RIFX", b"FORM"} else "little")
    elif data[:4] == b"riff":
        yield from (Field(at, width, "little") for at, width in ((16, 8), (56, 8), (64, 2), (66, 2), (68, 4), (76, 2)))
    elif data[:4] == b".snd":
        yield from (Field(at, 4, "big") for at in range(4, 24, 4))
    elif data[:4] == b"fLaC":
        yield from _flac(data)
    elif data[:4] == b"OggS":
        yield from _pages(data)
    elif data[:4] == b"\x1aE\xdf\xa3":
        yield from _elements(data, 0, len(data))
    elif data[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free"}:
        yield from _boxes(data, 0, len(data))
    else:
        yield from _frames(data)


def _chunks(data: bytes, order: Literal["little", "big"]) -> Iterator[Field]:
    yield Field(4, 4, order)
    at = 12
    while at + 8 <= len(data):
        yield Field(at + 4, 4, order)
        if data[at : at + 4] in {b"fmt ", b"COMM", b"fact"}:
            yield from (Field(at + 8 + inside, 2, order) for inside in range(0, 18, 2))
        size = int.from_bytes(data[at + 4 : at + 8], order)
        at += 8 + size + size % 2


def _flac(data: bytes) -> Iterator[Field]:
    at, last = 4, False
    while not last and at + 4 <= len(data):
        last = bool(data[at] & 0x80)
        yield Field(at + 1, 3, "big")
        if data[at] & 0x7F == 0:
            yield from (Field(at + 4 + inside, 2, "big") for inside in range(0, 18, 2))
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    while (at := data.find(b"\xff\xf8", at)) >= 0:
        yield Field(at + 2, 2, "big")
        at += 1


def _pages(data: bytes) -> Iterator[Field]:
    at = 0
    while (at := data.find(b"OggS", at)) >= 0 and at + 27 <= len(data):
        yield from (
            Field(at + inside, width, "little") for inside, width in ((5, 1), (6, 8), (14, 4), (18, 4), (26, 1))
        )
        yield from (Field(at + 27 + number, 1, "little") for number in range(min(4, data[at + 26])))
        body = at + 27 + data[at + 26]
        if at == 0 or data[body : body + 4] == b"Opus":
            yield from (Field(body + inside, 2, "little") for inside in range(8, 20, 2))
        at += 27


def _boxes(data: bytes, at: int, end: int) -> Iterator[Field]:
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, at)
        yield Field(at, 4, "big")
        inside = min(end, at + size)
        if name in MP4_FOLDERS:
            yield from _boxes(data, at + 8, inside)
        elif name in MP4_TABLES:
            yield from (Field(each, 4, "big") for each in range(at + 8, min(inside - 3, at + 72), 4))
            if name == b"stsd":
                yield from _boxes(data, at + 16, inside)
        if size < 8:
            return
        at += size


def _elements(data: bytes, at: int, end: int) -> Iterator[Field]:
    while at < end and data[at]:
        width = 9 - data[at].bit_length()
        name = int.from_bytes(data[at : at + width], "big")
        at += width
        if at >= end or not data[at]:
            return
        width = 9 - data[at].bit_length()
        yield Field(at, width, "big")
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        at += width
        inside = min(end, at + size)
        if name in EBML_FOLDERS:
            yield from _elements(data, at, inside)
        elif size <= 8:
            yield Field(at, size, "big")
        elif name == 0xA3:  # a block: track, time, flags, lacing
            yield from (Field(at + part, 1, "big") for part in range(6))
        at = inside


def _frames(data: bytes) -> Iterator[Field]:
    """Headers of raw frames: an ID3 tag's size, MPEG and ADTS frames; AMR has one byte for each 20 ms."""
    if data[:3] == b"ID3":
        yield Field(6, 4, "big")
    if data[:5] == b"#!AMR":
        yield from (Field(at, 1, "big") for at in range(6, len(data), 32))
    at = 0
    while (at := data.find(b"\xff", at)) >= 0:
        if at + 1 < len(data) and data[at + 1] & 0xE0 == 0xE0:
            yield Field(at + 1, 2, "big")
            yield Field(at + 3, 3, "big")
        at += 1


def repair(data: bytearray) -> None:
    """Give Ogg pages their right checksums again (RFC 3533, 6): else all damage ends at the first look at a page."""
    at = 0
    while (at := data.find(b"OggS", at)) >= 0 and at + 27 <= len(data):
        body = at + 27 + data[at + 26]
        end = body + sum(data[at + 27 : body])
        data[at + 22 : at + 26] = bytes(4)
        data[at + 22 : at + 26] = _ogg_sum(bytes(data[at:end])).to_bytes(4, "little")
        at += 27


def _ogg_sum(page: bytes) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFF_FFFF) ^ OGG_TABLE[value >> 24 ^ byte]
    return value


def _ogg_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        rest = value << 24
        for _ in range(8):
            rest = (rest << 1 & 0xFFFF_FFFF) ^ (0x04C1_1DB7 if rest >> 31 else 0)
        table.append(rest)
    return tuple(table)


OGG_TABLE = _ogg_table()
