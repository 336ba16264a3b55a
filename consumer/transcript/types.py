"""The values that travel between stages, free of any library. Times are integer milliseconds from the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SAMPLE_RATE = 16_000
"""Hz; the only rate the models know. Decoding converts to it."""

SAMPLE_BYTES = 2
"""Of a signed 16-bit sample."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object fetched into the spool.

    Attributes:
        path: the copy; whoever ends the recording removes it.
        size: bytes.
        etag: without quotes.
        version_id: of a versioned bucket, else None.
    """

    path: Path
    size: int
    etag: str
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Track:
    """One channel of decoded audio in a spool file.

    Attributes:
        channel: its number in the recording; 0 for a mix of all.
        path: raw signed 16-bit little-endian mono samples at `SAMPLE_RATE`, without a header.
        samples: how many.
    """

    channel: int
    path: Path
    samples: int


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """A recording as the models need it, and what it was before.

    Attributes:
        tracks: one, or one for each channel when the upload event asked to split them.
        duration_ms: of the decoded audio.
        format: container as FFmpeg names it (``wav``, ``mp3``, ``mov,mp4,m4a,3gp,3g2,mj2`` …).
        codec: as FFmpeg names it.
        sample_rate: Hz, of the source.
        channels: of the source.
        warnings: damage that was survived, for people to read.
    """

    tracks: tuple[Track, ...]
    duration_ms: int
    format: str
    codec: str
    sample_rate: int
    channels: int
    warnings: tuple[str, ...] = ()

    @property
    def tracks_ms(self) -> int:
        """How long all tracks are together: what there is to hear, and what takes room."""
        return self.duration_ms * len(self.tracks)

    @property
    def bytes(self) -> int:
        """Of the tracks' files."""
        return sum(track.samples for track in self.tracks) * SAMPLE_BYTES


@dataclass(frozen=True, slots=True)
class Word:
    """One Chinese character or one word of another language.

    Attributes:
        text: without punctuation.
        start_ms: where it begins.
        end_ms: where it ends; never before ``start_ms``.
        confidence: the model's probability of it, 0 to 1.
        mark: punctuation that follows it ("，", "。", "？", "、", or their ASCII twins), or "".
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of speech that voice activity detection found in one channel, with the words heard in it."""

    channel: int
    start_ms: int
    end_ms: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which models speak, for transcripts, logs and ``tingxie check``.

    Attributes:
        name: recogniser's id or folder name.
        revision: of the recogniser: the hub's revision, or for a folder a digest of its weights.
        vad: id or folder name, with ``@revision``.
        punctuation: id or folder name, with ``@revision``; "" when there is none.
        dtype: ``float32`` or ``bfloat16``.
        device: ``cpu`` or ``cuda:0``.
    """

    name: str
    revision: str
    vad: str
    punctuation: str
    dtype: str
    device: str


@dataclass(frozen=True, slots=True)
class Recognition:
    """All that was heard in one recording; no spans at all when nobody spoke.

    Attributes:
        spans: by channel, then by time.
        model: which models heard it.
        warnings: what the engine could not honour, for people to read.
    """

    spans: tuple[Span, ...]
    model: ModelInfo
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a recording's time went, in milliseconds; ``total_ms`` runs from the upload event's record time."""

    queued_ms: int
    fetch_ms: int
    decode_ms: int
    engine_ms: int
    total_ms: int
