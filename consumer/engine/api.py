"""What the rest of the program knows of the engine: jobs in, recognitions out, tagged; no model library in sight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SAMPLE_RATE = 16_000
"""Hz; the only rate the models know. Decoding converts to it."""


@dataclass(frozen=True, slots=True)
class Track:
    """One channel of decoded audio in a spool file.

    Attributes:
        channel: its number in the recording; 0 for a mix of all.
        path: raw signed 16-bit little-endian mono samples at 16 kHz, without a header.
        samples: how many.
    """

    channel: int
    path: Path
    samples: int


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One recording to transcribe.

    Attributes:
        tracks: its channels, at least one.
        language: BCP 47 tag the event asked for.
        hotwords: phrases to favour, where the model can; data, never a path or a URL.
    """

    tracks: tuple[Track, ...]
    language: str = "zh"
    hotwords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which models speak, for transcripts, logs and ``tingxie check``.

    Attributes:
        name: recogniser's id or folder name.
        revision: of the recogniser: the hub's revision, or for a folder a digest of its weights.
        vad: id or folder name, with revision.
        punctuation: id or folder name, with revision; "" when there is none.
        dtype: ``float32`` or ``bfloat16``.
        device: ``cpu`` or ``cuda:0``.
    """

    name: str
    revision: str
    vad: str
    punctuation: str
    dtype: str
    device: str
