"""What a recording is to the engine: its samples."""

from __future__ import annotations

import mmap
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
    """A track's samples, memory-mapped: what is read stays in memory until `forget` is told."""
    if track.samples == 0:
        return np.empty(0, dtype="<i2")
    return np.memmap(Path(track.path), dtype="<i2", mode="r", shape=(track.samples,))


def forget(samples: Samples, first: int, last: int) -> None:
    """Take samples that were read out of memory, where they are mapped from a file; they can be read again.

    Else what was read of a long recording would count as the process's memory until the system needs it elsewhere.
    """
    mapping: object = samples.base
    if isinstance(mapping, mmap.mmap):
        begin = first * samples.itemsize // mmap.PAGESIZE * mmap.PAGESIZE
        mapping.madvise(mmap.MADV_DONTNEED, begin, last * samples.itemsize - begin)
