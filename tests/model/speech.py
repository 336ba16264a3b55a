"""Speech for the models, and what FunASR makes of it."""

from __future__ import annotations

import numpy as np
import torch

from consumer.engine.fbank import Fbank
from consumer.engine.samples import Samples
from consumer.transcript.types import SAMPLE_RATE


def waveform(samples: Samples) -> torch.Tensor:
    """Samples as float32 in -1 to 1, as FunASR expects them."""
    return torch.from_numpy(samples.astype(np.float32) / 32768.0)


def mels_of(segments: list[Samples]) -> list[torch.Tensor]:
    """The mel frames of each segment, as the recogniser gets them."""
    return Fbank(torch.device("cpu"))(segments)


def patchwork(recordings: dict[str, Samples], seed: int, seconds: float) -> Samples:
    """Speech, silence and noise in turns."""
    random = np.random.default_rng(seed)
    parts: list[Samples] = [np.empty(0, dtype=np.int16)]
    while sum(map(len, parts)) < seconds * SAMPLE_RATE:
        speech = list(recordings.values())[random.integers(len(recordings))]
        begin = random.integers(len(speech))
        parts += [
            speech[begin : begin + random.integers(4 * SAMPLE_RATE)],
            random.normal(0, random.choice([0, 3, 100]), random.integers(3 * SAMPLE_RATE)).astype(np.int16),
        ]
    return np.concatenate(parts)[: int(seconds * SAMPLE_RATE)]
