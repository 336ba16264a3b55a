"""Media files that ask for far more than they hold: hours of audio in kilobytes, gigabytes of index in one."""

from __future__ import annotations

import io
import os
import struct
from fractions import Fraction
from pathlib import Path

import av

from tests.unit.audio.media import encode, tone, wav_header

BLOCK = 65_535
"""Samples of the longest FLAC frame; silent, it takes fifteen bytes."""


def flac(hours: float, rate: int = 4_000) -> bytes:
    """Silence in FLAC, about 3 KiB an hour at 4 kHz."""
    frames = int(hours * 3600 * rate / BLOCK)
    shape = rate << 44 | 0 << 41 | 15 << 36 | frames * BLOCK  # 20 bits of Hz, 3 of channels - 1, 5 of bits - 1, samples
    header = b"fLaC\x80\x00\x00\x22" + struct.pack(">HH6xQ16x", BLOCK, BLOCK, shape)
    return header + b"".join(_frame(number) for number in range(frames))


def _frame(number: int) -> bytes:
    """One frame of a constant 0: 16-bit block size, rate from the file's header, mono, 16 bits."""
    head = b"\xff\xf8\x70\x08" + chr(number).encode() + struct.pack(">H", BLOCK - 1)
    head += bytes([_crc(head, 0x07, 8)])
    body = head + b"\x00\x00\x00"
    return body + struct.pack(">H", _crc(body, 0x8005, 16))


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
    return value


def flac_inside(container: str, hours: float) -> bytes:
    """The same silence in another container, ``ogg`` or ``matroska``."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(flac(hours)), "r") as source, av.open(buffer, "w", format=container) as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    return buffer.getvalue()


def gaps(hours: int) -> bytes:
    """A Matroska file of a few samples an hour: the missing hours between them are to be filled."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for hour in range(hours + 1):
            packet = av.Packet(bytes(3_200))
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = hour * 3_599_000
            output.mux(packet)
    return buffer.getvalue()


def index(entries: int) -> bytes:
    """An m4a whose tables claim so many packets, of 24 bytes each in FFmpeg's index."""
    data = bytearray(encode("ipod", "aac", tone(0.5, 44_100), 44_100))
    for box, fields in (
        (b"stsz", (1, entries)),  # all packets have one byte; no table follows
        (b"stts", (1, entries, 1024)),  # all have 1024 samples
        (b"stsc", (1, 1, entries, 1)),  # all lie in one chunk
    ):
        at = data.index(box) + 8  # behind name, version and flags
        data[at : at + 4 * len(fields)] = struct.pack(f">{len(fields)}I", *fields)
    return bytes(data)


def sparse(path: Path, hours: float) -> None:
    """A WAV of silence at 44.1 kHz, which takes no room on disk and seconds to decode."""
    size = int(hours * 3600) * 44_100 * 2
    with path.open("wb") as file:
        file.write(wav_header(size, 44_100))
        file.truncate(44 + size)


def private(path: Path, megabytes: int, tracks: int) -> None:
    """A Matroska file whose tracks have so many megabytes of codec data each, all zeros, which take no room on disk."""

    def element(name: str, length: int) -> bytes:
        return bytes.fromhex(name) + (1 << 56 | length).to_bytes(8, "big")  # eight bytes for a length

    size = megabytes << 20
    with path.open("wb") as file:
        # File header, segment, list of tracks; each of those is as long as all that follows.
        file.write(element("1A45DFA3", 0) + element("18538067", 2 * tracks * size))
        file.write(element("1654AE6B", tracks * (size + 19)))
        for _ in range(tracks):
            file.write(element("AE", size + 10) + element("63A2", size))
            file.seek(size, os.SEEK_CUR)
        file.truncate()
