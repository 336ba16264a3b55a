"""Which container a file is, told from its first bytes.

FFmpeg's own probe answers for any bytes whatever: text becomes a terminal recording, noise becomes mp3, and a playlist
names other files to open. Here a file is one of a dozen containers for certain, or it is no media; FFmpeg is then told
which one, and never guesses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from consumer.errors import NotMedia

MAGIC: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), demuxer)
    for pattern, demuxer in (
        (rb"(RIFF|RF64|BW64|RIFX)....WAVE", "wav"),
        (rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", "w64"),
        (rb"FORM....AIF[FC]", "aiff"),
        (rb"\.snd", "au"),
        (rb"fLaC", "flac"),
        (rb"OggS\x00", "ogg"),
        (rb"\x1aE\xdf\xa3", "matroska,webm"),
        (rb"#!AMR(-WB)?\n", "amr"),
        (rb"....(ftyp|moov|mdat|wide|free|skip|pnot)", "mov,mp4,m4a,3gp,3g2,mj2"),
    )
)
"""First bytes, and the FFmpeg demuxer for them; FFmpeg's own names, with commas where one has several."""

SUPPORTED = "wav, w64, aiff, au, mp3, aac, m4a, mp4, mov, 3gp, ogg, opus, flac, amr, webm, mkv"

WINDOW = 1 << 17
"""Bytes looked through for the first frame of a raw mp3 or aac stream; streams cut out of others begin mid-frame."""

FRAMES_AT_START = 2
"""Frames in a row that make a raw stream when the first lies where it should: 1 in 2**30 for random bytes."""

FRAMES_INSIDE = 4
"""Frames in a row that do so anywhere in the window, where random bytes have as many chances as there are offsets."""

MOST_TAGS = 64
"""ID3v2 tags in a row; real files have one or two, and a gigabyte of empty ones would take minutes to walk."""

ID3_HEADER = 10
"""Bytes of an ID3v2 header, and of the footer a tag may have."""


class Frame(NamedTuple):
    """Header of one frame of a raw stream: what stays the same through a stream, and its length in bytes."""

    signature: tuple[int, ...]
    length: int


def sniff(file: BinaryIO) -> str:
    """Name of the FFmpeg demuxer for a seekable file; its position is lost.

    Raises:
        NotMedia: no container or raw stream this program reads.
    """
    start = _after_tags(file)
    file.seek(start)
    data = file.read(WINDOW)
    for pattern, demuxer in MAGIC:
        if pattern.match(data):
            return demuxer
    for parse, demuxer in ((mpeg_frame, "mp3"), (adts_frame, "aac")):
        # A tag is evidence by itself, so that behind it a single frame will do.
        if _frames(data, 0, parse) >= (1 if start else FRAMES_AT_START) or _has_frames(data, parse):
            return demuxer
    raise NotMedia(f"the content is of no kind that can be decoded ({SUPPORTED})")


def mpeg_frame(data: bytes, at: int) -> Frame | None:
    """The MPEG-1/2/2.5 layer II or III frame whose header is at an offset (ISO/IEC 11172-3, 2.4.1.3)."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3  # 3: MPEG-1, 2: MPEG-2, 0: 2.5; 1: III, 2: II
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer not in {1, 2} or bitrate in {0, 15} or rate == 3:
        return None
    table = _LOW if version != 3 else _LAYER_III if layer == 1 else _LAYER_II
    hertz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    slots = 72_000 if version != 3 and layer == 1 else 144_000
    return Frame((version, layer, rate), slots * table[bitrate - 1] // hertz + padding)


def adts_frame(data: bytes, at: int) -> Frame | None:
    """The AAC frame whose ADTS header is at an offset (ISO/IEC 13818-7, 6.2)."""
    if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    if data[at + 2] >> 2 & 15 > 12:  # sampling frequency indices 13 to 15 are reserved
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return Frame((data[at + 1], data[at + 2], data[at + 3] & 0xF0), length) if length > 7 else None


_LAYER_II = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_LAYER_III = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# kbit/s by index, from 1, of MPEG-1 layers II and III, and of both in MPEG-2 and 2.5.


def _frames(data: bytes, at: int, parse: Callable[[bytes, int], Frame | None]) -> int:
    """How many frames of one stream follow each other from an offset, `FRAMES_INSIDE` at most."""
    signature: tuple[int, ...] | None = None
    for count in range(FRAMES_INSIDE):
        frame = parse(data, at)
        if frame is None or (signature is not None and frame.signature != signature):
            return count
        signature = frame.signature
        at += frame.length
    return FRAMES_INSIDE


def _has_frames(data: bytes, parse: Callable[[bytes, int], Frame | None]) -> bool:
    at = data.find(b"\xff")
    while at >= 0:
        if _frames(data, at, parse) == FRAMES_INSIDE:
            return True
        at = data.find(b"\xff", at + 1)
    return False


def _after_tags(file: BinaryIO) -> int:
    """Offset of the first byte behind all leading ID3v2 tags (id3.org, ID3v2.4 structure, 3.1)."""
    start = 0
    for _ in range(MOST_TAGS):
        file.seek(start)
        head = file.read(ID3_HEADER)
        if len(head) < ID3_HEADER or not head.startswith(b"ID3") or max(head[6:10]) > 0x7F:
            return start
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start += ID3_HEADER + size + (ID3_HEADER if head[5] & 0x10 else 0)
    return start
