"""Recordings of any length, the same on every machine: the demo's samples with pauses between them, loud and soft."""

from __future__ import annotations

import io
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from consumer.demo.samples import load_samples
from consumer.transcript.types import SAMPLE_RATE, Track

Samples: TypeAlias = npt.NDArray[np.int16]

LONGEST_S = 600
"""Longest recording of a mixed set."""
LONGEST_SHARE = 0.625
"""The most of a mixed set that is one recording."""
SHORTER_S = (2, 4, 7, 12, 20, 35, 60, 100, 180, 300)
"""The others, again and again until the set is as long as it should be."""
SHORTEST_S = 2
GAIN_DB = (-12.0, 3.0)
PAUSE_S = (0.15, 0.8)
LONG_PAUSE_S = (1.0, 4.0)
LONG_PAUSES = 0.2
"""Share of pauses that are long."""
NOISE = 8.0
"""Standard deviation of the noise under everything; a pause is never digital silence."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of a set.

    Attributes:
        name: unique in its set.
        samples: 16 kHz mono.
    """

    name: str
    samples: Samples

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE

    def wav(self) -> bytes:
        """The recording as a file."""
        file = io.BytesIO()
        with _wav_writer(file) as writer:
            writer.writeframes(self.samples.tobytes())
        return file.getvalue()

    def track(self, folder: Path) -> Track:
        """The recording as the engine gets it: raw samples in a file of the folder."""
        path = folder / f"{self.name}.pcm"
        self.samples.tofile(path)
        return Track(0, path, len(self.samples))


@cache
def speech() -> tuple[Samples, ...]:
    """What is said in the demo's samples, decoded by the product's own decoder."""
    from consumer.audio.decode import Request, decode  # noqa: PLC0415 - only where recordings are made

    spoken = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sample.pcm"
        for sample in load_samples():
            if sample.text:
                with sample.path.open("rb") as source, out.open("wb") as track:
                    decode(Request(source, (track,), split=False, seconds=600, channels=2, rates=(8_000, 48_000)))
                spoken.append(np.fromfile(out, dtype="<i2"))
    return tuple(spoken)


def mixed_seconds(minutes: float) -> list[float]:
    """Lengths of the recordings of a mixed set, from 2 s to 10 min where it is long enough."""
    left = minutes * 60
    lengths = [min(float(LONGEST_S), LONGEST_SHARE * left)]
    left -= lengths[0]
    while left >= SHORTEST_S:
        for seconds in (*SHORTER_S, LONGEST_S):
            if left < SHORTEST_S:
                break
            length = min(float(seconds), left)
            lengths.append(length)
            left -= length
    return lengths


def mixed_set(minutes: float, seed: int = 0) -> list[Recording]:
    """Recordings of many lengths, in an order of no meaning."""
    lengths = mixed_seconds(minutes)
    order = np.random.default_rng(seed).permutation(len(lengths))
    return [
        Recording(f"{number:03}-{lengths[index]:.0f}s", recording(lengths[index], seed=seed * 1000 + int(index)))
        for number, index in enumerate(order)
    ]


def recording(seconds: float, seed: int) -> Samples:
    """One recording."""
    return np.concatenate(list(blocks(seconds, seed)))


def write_wav(path: Path, seconds: float, seed: int) -> None:
    """Write a recording that is too long for the memory."""
    with path.open("wb") as file, _wav_writer(file) as writer:
        for block in blocks(seconds, seed):
            writer.writeframes(block.tobytes())


def write_track(path: Path, seconds: float, seed: int) -> Track:
    """Write raw samples of a recording that is too long for the memory."""
    samples = 0
    with path.open("wb") as file:
        for block in blocks(seconds, seed):
            file.write(block.tobytes())
            samples += len(block)
    return Track(0, path, samples)


def blocks(seconds: float, seed: int, spoken: Sequence[Samples] | None = None) -> Iterator[Samples]:
    """A recording, utterance by utterance with the pause behind each."""
    spoken = speech() if spoken is None else spoken
    rng = np.random.default_rng(seed)
    left = round(seconds * SAMPLE_RATE)
    while left:
        words = spoken[int(rng.integers(len(spoken)))] * 10 ** (rng.uniform(*GAIN_DB) / 20)
        pause_s = rng.uniform(*(LONG_PAUSE_S if rng.random() < LONG_PAUSES else PAUSE_S))
        sound = np.concatenate([words, np.zeros(int(pause_s * SAMPLE_RATE))])[:left]
        sound += rng.normal(0, NOISE, len(sound))
        left -= len(sound)
        yield sound.clip(-32768, 32767).astype("<i2")


def _wav_writer(file: io.BytesIO | io.BufferedWriter) -> wave.Wave_write:
    writer = wave.open(file, "wb")  # noqa: SIM115 - the caller's with closes it
    writer.setnchannels(1)
    writer.setsampwidth(2)
    writer.setframerate(SAMPLE_RATE)
    return writer
