"""The acoustic front end of the models: 80 log mel bands every 10 ms, stacked and normalised as FunASR does."""

from __future__ import annotations

from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
from numpy.typing import NDArray

from training.speech import MODEL_RATE, Samples

Features = NDArray[np.float32]

MEL_BANDS = 80
FRAMES_PER_SECOND = 100
# What FunASR multiplies samples in -1 to 1 by, so that they look like 16-bit integers.
SAMPLE_SCALE = 32768


def log_mel(samples: Samples) -> Features:
    """Log mel energies, one row of 80 for each 10 ms."""
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = MODEL_RATE
    options.frame_opts.window_type = "hamming"
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = MEL_BANDS
    options.energy_floor = 0
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(MODEL_RATE, (samples * SAMPLE_SCALE).tolist())
    bank.input_finished()
    if not bank.num_frames_ready:
        return np.zeros((0, MEL_BANDS), np.float32)
    return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)]).astype(np.float32)


def stack_frames(mel: Features, size: int, step: int) -> Features:
    """Low frame rate features: every `step` frames a row of `size` frames around them, edges repeated."""
    rows = -(-len(mel) // step)
    left = (size - 1) // 2
    right = max(0, (rows - 1) * step + size - left - len(mel))
    padded = np.concatenate([np.repeat(mel[:1], left, axis=0), mel, np.repeat(mel[-1:], right, axis=0)])
    starts = np.arange(rows) * step
    stacked: Features = padded[starts[:, None] + np.arange(size)].reshape(rows, size * MEL_BANDS)
    return stacked


def write_normalisation(path: Path, shift: Features, scale: Features) -> None:
    """Kaldi's text form of a mean and variance normalisation, as FunASR reads it (`am.mvn`)."""
    size = len(shift)
    numbers = [" ".join(f"{value:.7g}" for value in vector) for vector in (shift, scale)]
    path.write_text(
        f"<Nnet>\n<Splice> {size} {size}\n[ 0 ]\n"
        f"<AddShift> {size} {size}\n<LearnRateCoef> 0 [ {numbers[0]} ]\n"
        f"<Rescale> {size} {size}\n<LearnRateCoef> 0 [ {numbers[1]} ]\n</Nnet>\n",
        encoding="ascii",
    )


def read_normalisation(path: Path) -> tuple[Features, Features]:
    """The shift and the scale of an `am.mvn`."""
    vectors = [
        np.array(line.split("[", 1)[1].rsplit("]", 1)[0].split(), dtype=np.float32)
        for line in path.read_text(encoding="ascii").splitlines()
        if line.startswith("<LearnRateCoef>")
    ]
    return vectors[0], vectors[1]


def measure_normalisation(mel: Features, stacked: int) -> tuple[Features, Features]:
    """Shift and scale that give `mel`, stacked `stacked` times, zero mean and unit variance."""
    mean, deviation = mel.mean(axis=0), mel.std(axis=0)
    return np.tile(-mean, stacked).astype(np.float32), np.tile(1 / deviation, stacked).astype(np.float32)
