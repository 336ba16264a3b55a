"""What is wrong with a recording that could be decoded all the same: cut off, damaged, with gaps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import BinaryIO

from consumer.audio.sniff import adts_frame, mpeg_frame

STREAMED = 0x7FFF_0000
"""Sizes from here on stand in headers of files whose writer could not go back to fill in the real one."""

LONGEST_PAGE = 27 + 255 + 255 * 255
"""Bytes of an Ogg page: header, segment table, segments (RFC 3533, 6)."""

PADDING_SECONDS = 0.5
"""What codecs may add or take at the ends is far less; a shortfall beyond it, and beyond 1 %, is a loss."""


@dataclass(slots=True)
class Damage:
    """What went wrong so far.

    Attributes:
        packets: how many the decoder refused.
        reason: the first refusal.
        cut: why the audio ends early, "" when it does not.
        gaps: how many stretches of missing audio were filled with silence.
        gap_seconds: their length.
        notes: other things to know.
    """

    packets: int = 0
    reason: str = ""
    cut: str = ""
    gaps: int = 0
    gap_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def refused(self, reason: str) -> None:
        """The decoder refused a packet."""
        self.packets += 1
        self.reason = self.reason or reason

    def filled(self, seconds: float) -> None:
        """Silence took the place of missing audio."""
        self.gaps += 1
        self.gap_seconds += seconds

    def ended(self, seconds: float, told: float) -> None:
        """Compare the length of the audio with what its container told; 0 when that told nothing."""
        if told - seconds > max(PADDING_SECONDS, told / 100):
            self.cut = f"{seconds:.1f} of {told:.1f} s are there"

    def warnings(self) -> tuple[str, ...]:
        """For people to read."""
        lines = list(self.notes)
        if self.packets:
            lines.append(f"the audio is damaged: packets that could not be decoded: {self.packets} ({self.reason})")
        if self.gaps:
            lines.append(
                f"the audio has gaps: {self.gap_seconds:.1f} s were filled with silence, in places: {self.gaps}"
            )
        if self.cut:
            lines.append(f"the audio ends early: {self.cut}")
        return tuple(lines)


def cut_file(file: BinaryIO, demuxer: str) -> str:
    """Why a file must have been cut off, "" when nothing shows it; the position in the file is lost.

    For containers whose demuxer silently makes do with what is there.
    """
    size = file.seek(0, os.SEEK_END)
    if demuxer in {"wav", "aiff"}:
        file.seek(0)
        head = file.read(8)
        told = int.from_bytes(head[4:8], "little" if head.startswith(b"RIFF") else "big") + 8
        if head[:4] in {b"RIFF", b"FORM"} and size < told < STREAMED:
            return f"{size} of {told} bytes are there"
    if demuxer == "ogg":
        start = max(0, size - 2 * LONGEST_PAGE)
        file.seek(start)
        data = file.read()
        page = data.rfind(b"OggS\x00")
        segments = data[page + 27 : page + 27 + data[page + 26]] if page >= 0 and page + 26 < len(data) else b""
        if page >= 0 and (not segments or page + 27 + data[page + 26] + sum(segments) > len(data)):
            return "its last page is incomplete"
    return ""


def cut_packet(packet: bytes, demuxer: str) -> str:
    """Why the last packet of a raw stream shows that it was cut off, "" when it does not."""
    parse = {"mp3": mpeg_frame, "aac": adts_frame}.get(demuxer)
    frame = parse(packet, 0) if parse is not None else None
    return "its last frame is incomplete" if frame is not None and frame.length > len(packet) else ""
