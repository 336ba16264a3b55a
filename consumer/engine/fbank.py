"""Log mel energies as Kaldi computes them, for many stretches of sound at once, on any device.

The steps and their order are those of Kaldi's ``feature-window.cc`` and ``mel-computations.cc`` and therefore of
kaldi-native-fbank, which FunASR uses: 25 ms frames every 10 ms, whole ones only; the frame's mean removed;
pre-emphasis; Hamming window; power spectrum over 512 points; 80 triangular bins, equally wide in mel, from 20 Hz to
8 kHz; natural logarithm. No dither: the same samples give the same values. Samples count as 16-bit integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from consumer.engine.device import send
from consumer.engine.samples import FRAME_LENGTH, FRAME_SHIFT, Samples, count_frames
from consumer.transcript.types import SAMPLE_RATE

MEL_BINS = 80
_LOWEST_HZ, _HIGHEST_HZ = 20.0, SAMPLE_RATE / 2
_PRE_EMPHASIS = 0.97
_POINTS = 512
"""The frame's 400 samples, padded to a power of two."""
_FLOOR = float(np.finfo(np.float32).eps)
"""Least energy, so that digital silence has a logarithm."""
_FRAMES_AT_ONCE = {"cpu": 1000}
_MANY_FRAMES_AT_ONCE = 16384
"""A CPU is fastest while what it works on stays in its cache; any other device wants much to do at once."""


class Fbank:
    """Computes log mel energies.

    Args:
        device: where to compute, and where the results stay.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        steps = np.arange(FRAME_LENGTH)
        window = 0.54 - 0.46 * np.cos(2 * np.pi * steps / (FRAME_LENGTH - 1))
        self._window = torch.from_numpy(window.astype(np.float32)).to(device)
        self._bins = torch.from_numpy(mel_bins()).to(device)
        self._at_once = _FRAMES_AT_ONCE.get(device.type, _MANY_FRAMES_AT_ONCE)

    def __call__(self, pieces: Sequence[Samples]) -> list[torch.Tensor]:
        """Log mel energies of each piece, float32 [frames, 80]; no frame of a piece shorter than 25 ms."""
        counts = [count_frames(len(piece)) for piece in pieces]
        wanted = [(piece, count) for piece, count in zip(pieces, counts, strict=True) if count]
        if not wanted:
            return [torch.empty(0, MEL_BINS, device=self._device) for _ in pieces]
        # Laid end to end, each on a multiple of the frame shift: frames that straddle two pieces are computed for
        # nothing, two for each piece, and left out.
        shifts = [count + FRAME_LENGTH // FRAME_SHIFT for _, count in wanted]
        joined = np.zeros((sum(shifts) + 1) * FRAME_SHIFT, dtype=np.int16)
        starts = np.cumsum([0, *shifts[:-1]])
        for (piece, count), start in zip(wanted, starts, strict=True):
            used = (count - 1) * FRAME_SHIFT + FRAME_LENGTH
            joined[start * FRAME_SHIFT : start * FRAME_SHIFT + used] = piece[:used]
        samples = send(torch.from_numpy(joined), self._device)
        mel = torch.cat([self._log_mel(frames) for frames in self._frames(samples, int(starts[-1]) + wanted[-1][1])])
        rows = iter(zip(starts.tolist(), (count for _, count in wanted), strict=True))
        return [mel[:0] if not count else mel.narrow(0, *next(rows)) for count in counts]

    def _frames(self, samples: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
        """All frames of the samples, float32 [frames, 400], in portions."""
        for first in range(0, count, self._at_once):
            size = (min(self._at_once, count - first), FRAME_LENGTH)
            yield samples.as_strided(size, (FRAME_SHIFT, 1), first * FRAME_SHIFT).float()

    def _log_mel(self, frames: torch.Tensor) -> torch.Tensor:
        """[frames, 400] to [frames, 80]; overwrites its argument."""
        frames -= frames.mean(dim=1, keepdim=True)
        padded = frames.new_zeros(len(frames), _POINTS)
        sharp = padded[:, :FRAME_LENGTH]
        torch.sub(frames[:, 1:], frames[:, :-1], alpha=_PRE_EMPHASIS, out=sharp[:, 1:])
        torch.mul(frames[:, 0], 1 - _PRE_EMPHASIS, out=sharp[:, 0])  # its own predecessor
        sharp *= self._window
        spectrum = torch.fft.rfft(padded)
        power = spectrum.real.square() + spectrum.imag.square()
        energies: torch.Tensor = power @ self._bins
        return energies.clamp_(min=_FLOOR).log_()


def mel_bins() -> npt.NDArray[np.float32]:
    """Weight of each point of the power spectrum in each bin, [257, 80], in Kaldi's single precision."""
    points = np.arange(_POINTS // 2, dtype=np.float32) * np.float32(SAMPLE_RATE / _POINTS)
    at = _mel(points)[:, np.newaxis]
    lowest, highest = _mel(np.float32(_LOWEST_HZ)), _mel(np.float32(_HIGHEST_HZ))
    width = (highest - lowest) / np.float32(MEL_BINS + 1)
    bins = np.arange(MEL_BINS, dtype=np.float32)
    left, centre, right = (lowest + (bins + np.float32(edge)) * width for edge in (0, 1, 2))
    weights = np.where(at <= centre, (at - left) / (centre - left), (right - at) / (right - centre))
    inside = (at > left) & (at < right)
    # The last point, 8 kHz itself, is in no bin.
    return np.vstack([np.where(inside, weights, 0), np.zeros((1, MEL_BINS))]).astype(np.float32)


def _mel(hertz: npt.NDArray[np.float32] | np.float32) -> npt.NDArray[np.float32]:
    return np.asarray(np.float32(1127.0) * np.log(np.float32(1.0) + hertz / np.float32(700.0)), dtype=np.float32)
