"""What a recording is to the engine: its samples."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from consumer.transcript.types import SAMPLE_RATE, Track

Samples: TypeAlias = npt.NDArray[np.int16]
"""Signed 16-bit mono samples at 16 kHz; may be memory-mapped."""
FRAME_MS = 10
"""From one frame to the next."""
FRAME_SHIFT = FRAME_MS * SAMPLE_RATE // 1000
"""The same, in samples."""
FRAME_LENGTH = 25 * SAMPLE_RATE // 1000
"""Samples of a frame: 25 ms."""


def count_frames(samples: int) -> int:
    """How many whole frames lie in so many samples; what is left at the end is no frame (Kaldi's ``snip_edges``)."""
    return 0 if samples < FRAME_LENGTH else (samples - FRAME_LENGTH) // FRAME_SHIFT + 1


def read_track(track: Track) -> Samples:
    """A track's samples, memory-mapped: only what is worked on is ever in memory."""
    if track.samples == 0:
        return np.empty(0, dtype="<i2")
    return np.memmap(Path(track.path), dtype="<i2", mode="r", shape=(track.samples,))
