"""What the recogniser reads: FunASR's features of a stretch of speech.

80 mel bins over 25 ms every 10 ms (hamming window, samples scaled to 16 bit, no dither), seven frames stacked every
six, mean and variance normalised: 560 values every 60 ms. Computed by FunASR's own ``WavFrontend`` on
kaldi-native-fbank.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Samples: TypeAlias = npt.NDArray[np.int16]
"""Signed 16-bit mono samples at 16 kHz."""
SHORTEST = 400
"""Samples of one 25 ms frame; anything shorter is padded with silence."""


def waveform(samples: Samples) -> torch.Tensor:
    """Samples as float32 in -1 to 1, as FunASR expects them."""
    return torch.from_numpy(samples.astype(np.float32) / 32768.0)


class Features:
    """FunASR's features with the model's own normalisation.

    Args:
        frontend: FunASR's ``WavFrontend`` of the model.
    """

    def __init__(self, frontend: Any) -> None:
        self._frontend = frontend

    def __call__(self, samples: Samples) -> torch.Tensor:
        """Features of a segment, float32 [frames, 560]."""
        sound = waveform(samples)
        if len(sound) < SHORTEST:
            sound = torch.nn.functional.pad(sound, (0, SHORTEST - len(sound)))
        features, _ = self._frontend(sound.unsqueeze(0), [len(sound)])
        frames: torch.Tensor = features[0]
        return frames
