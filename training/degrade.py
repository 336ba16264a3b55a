"""What happens to speech on its way to the model: room for silence, noise, narrow bands, gain, clipping, codecs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from training.media import Encoding, round_trip
from training.speech import MODEL_RATE, Samples, resample

SAMPLE_RATES = (8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000)
CODED_SHARE = 0.35
NOISY_SHARE = 0.7
NARROW_SHARE = 0.25
CLIPPED_SHARE = 0.05
# Softest and loudest gain in decibels; the synthesiser's peak is near full scale.
GAIN_DB = (-26.0, 3.0)
NOISE_SNR_DB = (12.0, 45.0)


def random_encoding(rng: random.Random) -> Encoding:
    """A codec as recordings meet it, with low bit rates as likely as high ones."""
    rate = rng.choice([16_000, 22_050, 24_000, 44_100, 48_000])
    low_rate = rng.choice([8_000, 11_025, 16_000])
    return rng.choice(
        [
            Encoding("mp3", "libmp3lame", rate, bit_rate=rng.choice([24, 32, 48, 64]) * 1000),
            Encoding("mp3", "libmp3lame", low_rate, bit_rate=rng.choice([16, 24, 32]) * 1000),
            Encoding("ogg", "libopus", 48_000, bit_rate=rng.choice([12, 16, 24, 32]) * 1000),
            Encoding("ogg", "libopus", rng.choice([8_000, 16_000, 24_000]), bit_rate=rng.choice([12, 16, 24]) * 1000),
            Encoding("ipod", "aac", rate, bit_rate=rng.choice([32, 48, 64]) * 1000),
            Encoding("amr", "libopencore_amrnb", 8_000, bit_rate=rng.choice([5900, 7950, 12200])),
            Encoding("amr", "libopencore_amrnb", 8_000, bit_rate=12200),
            Encoding("wav", "pcm_mulaw", 8_000),
            Encoding("wav", "adpcm_ima_wav", 16_000),
        ]
    )


def white_noise(length: int, noise: np.random.Generator) -> Samples:
    """Hiss."""
    return noise.standard_normal(length).astype(np.float32)


def coloured_noise(length: int, noise: np.random.Generator) -> Samples:
    """Noise whose power falls with frequency, from slightly to steeply: rooms, traffic, wind."""
    spectrum = np.fft.rfft(noise.standard_normal(length))
    slope = noise.uniform(0.3, 1.0)
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** slope
    return np.fft.irfft(spectrum, length).astype(np.float32)


def hum(length: int, noise: np.random.Generator) -> Samples:
    """Mains hum and its harmonics, or a steady tone, over a little hiss."""
    time = np.arange(length) / MODEL_RATE
    base = noise.choice([50.0, 60.0, 100.0, noise.uniform(200, 1200)])
    total = sum(noise.uniform(0, 1) / n * np.sin(2 * np.pi * base * n * time) for n in range(1, noise.integers(2, 7)))
    return np.asarray(total + 0.02 * noise.standard_normal(length), dtype=np.float32)


def music(length: int, noise: np.random.Generator) -> Samples:
    """Notes and chords of plucked or held tones, or single steady ones: nothing that the voice does."""
    total = np.zeros(length, np.float32)
    beat = int(noise.uniform(0.15, 0.9) * MODEL_RATE)
    decay = noise.uniform(0, 6)
    for start in range(0, length, beat):
        time = np.arange(min(int(beat * noise.uniform(0.5, 1.0)), length - start)) / MODEL_RATE
        for _ in range(noise.integers(0, 4)):
            pitch = 110 * 2 ** (noise.integers(0, 37) / 12)
            for harmonic in range(1, noise.integers(2, 8)):
                wave = np.sin(2 * np.pi * pitch * harmonic * time) * np.exp(-decay * time)
                total[start : start + len(time)] += (noise.uniform(0.2, 1) / harmonic * wave).astype(np.float32)
    return total


def babble(length: int, noise: np.random.Generator, crowd: Sequence[Samples]) -> Samples:
    """Many voices at once, played backwards so that no word is in them."""
    total = np.zeros(length, np.float32)
    for index in noise.integers(0, len(crowd), 5):
        voice = np.resize(crowd[index][::-1], length)
        total += np.roll(voice, int(noise.integers(0, length)))
    return total


def some_noise(length: int, noise: np.random.Generator, crowd: Sequence[Samples]) -> Samples:
    """Noise of a random kind. Babble needs a `crowd`: earlier recordings."""
    kinds: list[Callable[[], Samples]] = [
        lambda: white_noise(length, noise),
        lambda: coloured_noise(length, noise),
        lambda: coloured_noise(length, noise),
        lambda: hum(length, noise),
    ]
    if len(crowd) >= 5:
        kinds.append(lambda: babble(length, noise, crowd))
    return kinds[noise.integers(0, len(kinds))]()


def power(samples: Samples) -> float:
    """Mean square of the samples that are not digital silence."""
    sounding = samples[np.abs(samples) > 1e-4]
    return float(np.mean(sounding**2)) if len(sounding) else 1e-9


def add_noise(samples: Samples, added: Samples, snr_db: float) -> Samples:
    """`samples` with noise `added` at a signal to noise ratio."""
    factor = (power(samples) / (power(added) * 10 ** (snr_db / 10))) ** 0.5
    return np.asarray(samples + factor * added, dtype=np.float32)


def narrow(samples: Samples, rate: int) -> Samples:
    """`samples` as if they had been recorded at `rate` Hz."""
    back = resample(resample(samples, MODEL_RATE, rate), rate, MODEL_RATE)[: len(samples)]
    return np.pad(back, (0, len(samples) - len(back)))


def with_gain(samples: Samples, decibels: float) -> Samples:
    """Louder or softer."""
    return np.asarray(samples * 10 ** (decibels / 20), dtype=np.float32)


def degrade(samples: Samples, rng: random.Random, crowd: Sequence[Samples] = ()) -> Samples:
    """A random walk through all of the above; the length stays."""
    noise = np.random.default_rng(rng.getrandbits(32))
    if rng.random() < NOISY_SHARE:
        samples = add_noise(samples, some_noise(len(samples), noise, crowd), rng.uniform(*NOISE_SNR_DB))
    samples = with_gain(samples, rng.uniform(*GAIN_DB))
    if rng.random() < CLIPPED_SHARE:
        samples = np.clip(samples * 2.5, -1, 1)
    if rng.random() < CODED_SHARE:
        return round_trip(samples, random_encoding(rng))
    if rng.random() < NARROW_SHARE:
        samples = narrow(samples, rng.choice(SAMPLE_RATES))
    # 16-bit integers are what most recordings hold.
    return np.asarray(np.round(np.clip(samples, -1, 1) * 32767) / 32768, dtype=np.float32)
