"""What a model reads: mel frames, several of them side by side and normalised.

FunASR's low frame rate (``lfr_m`` frames side by side, every ``lfr_n``) and its normalisation by the model's own mean
and variance, after ``funasr/frontends/wav_frontend.py``. The voice activity detector reads five frames every 10 ms,
the recogniser seven every 60 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from consumer.engine.device import send
from consumer.engine.fbank import MEL_BINS
from consumer.engine.hub import ModelFolder
from consumer.errors import ModelUnavailable
from consumer.transcript.types import SAMPLE_RATE

_FRONTENDS = ("WavFrontend", "WavFrontendOnline")
_COMPUTED = {
    "fs": SAMPLE_RATE,
    "window": "hamming",
    "n_mels": MEL_BINS,
    "frame_length": 25,
    "frame_shift": 10,
    "snip_edges": True,
    "upsacle_samples": True,  # FunASR spells it so
}
"""What `consumer.engine.fbank` computes. A folder may also ask for dither, noise of which none is ever added: the same
upload must give the same transcript."""


class Stretch(NamedTuple):
    """Features wanted of a sequence of mel frames.

    Attributes:
        mel: the sequence, [frames, 80]; where features reach beyond it, its first or last frame is repeated.
        first: number of the first feature.
        length: how many, at least one.
    """

    mel: torch.Tensor
    first: int
    length: int


class Features:
    """Stacks and normalises mel frames.

    Args:
        frontend: FunASR's frontend of the model, of which only the parameters are used.
        device: where the mel frames are.
    """

    def __init__(self, frontend: Any, device: torch.device) -> None:
        self._device = device
        self._stacked, self._every = int(frontend.lfr_m), int(frontend.lfr_n)
        self._left = (self._stacked - 1) // 2
        self._right = self._stacked - 1 - self._left
        shift, scale = torch.tensor([[0.0], [1.0]]) if frontend.cmvn is None else frontend.cmvn
        self._shift, self._scale = shift.to(device), scale.to(device)

    @property
    def lookahead(self) -> int:
        """How many frames a feature needs behind its own."""
        return self._right

    def count(self, frames: int) -> int:
        """How many features a sequence of so many frames has."""
        return -(-frames // self._every)

    def whole(self, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """All features of each sequence of mel frames, [features, lfr_m × 80]; each has at least one frame."""
        stretches = [Stretch(mel, 0, self.count(len(mel))) for mel in sequences]
        return list(torch.split(self(stretches), [stretch.length for stretch in stretches]))

    def __call__(self, stretches: Sequence[Stretch]) -> torch.Tensor:
        """Features of all stretches, one behind the other, float32 [features, lfr_m × 80]."""
        parts, rows, offset = [], [], 0
        for mel, first, length in stretches:
            begin = max(0, first * self._every - self._left)
            part = mel[begin : (first + length - 1) * self._every + self._right + 1]
            centres = np.arange(first, first + length) * self._every - begin
            reach = np.arange(-self._left, self._right + 1)
            rows.append((centres[:, np.newaxis] + reach).clip(0, len(part) - 1).ravel() + offset)
            parts.append(part)
            offset += len(part)
        frames = parts[0] if len(parts) == 1 else torch.cat(parts)
        chosen = send(torch.from_numpy(np.concatenate(rows)), self._device)
        features = frames.index_select(0, chosen).view(-1, self._stacked * MEL_BINS)
        return features.add_(self._shift).mul_(self._scale)


def check_frontend(folder: ModelFolder, frontend: Any, lfr_n: int) -> None:
    """Insist on a frontend whose features can be computed here.

    Args:
        folder: the model's.
        frontend: FunASR's frontend as the folder's config.yaml asks for it; None where it asks for none.
        lfr_n: how many frames a feature must go on by.

    Raises:
        ModelUnavailable: the folder asks for something else; the message says for what.
    """
    kind = type(frontend).__name__
    if kind not in _FRONTENDS:
        raise ModelUnavailable(
            f"{folder.setting}: {folder.path} asks for the frontend {'(none)' if frontend is None else kind}, "
            f"but only {' and '.join(_FRONTENDS)} can be used here."
        )
    for name, value in {**_COMPUTED, "lfr_n": lfr_n}.items():
        asked = getattr(frontend, name)
        if asked != value:
            raise ModelUnavailable(
                f"{folder.setting}: config.yaml in {folder.path} asks for features with {name} {asked!r}, "
                f"but only {value!r} can be computed here."
            )
    if frontend.cmvn is not None and frontend.cmvn.shape[1] != frontend.lfr_m * MEL_BINS:
        raise ModelUnavailable(
            f"{folder.setting}: the normalisation in {folder.path} is for {frontend.cmvn.shape[1]} values, but its "
            f"config.yaml asks for features of {frontend.lfr_m * MEL_BINS}: the two do not belong together."
        )
