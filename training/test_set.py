"""The held-out recordings: sentences and voices that training never met, under the conditions of the field."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training import corpus, degrade, speech
from training.media import Encoding, encode

SEED = 404
GRAMMAR_SENTENCES = 100
LONG_RECORDINGS = 24
SENTENCES_IN_A_LONG_RECORDING = (4, 7)
PAUSE_SECONDS = (0.3, 1.5)
NOISE_DB = 20.0
# Every second recording is noisy; the codecs are an odd number, so each is met with noise and without.
ENCODINGS = (
    Encoding("wav", "pcm_s16le", 16_000),
    Encoding("mp3", "libmp3lame", 44_100, 2, 64_000),
    Encoding("wav", "pcm_s16le", 8_000),
    Encoding("ogg", "libopus", 48_000, 1, 24_000),
    Encoding("wav", "pcm_mulaw", 8_000, 2),
    Encoding("ipod", "aac", 44_100, 1, 48_000),
    Encoding("wav", "pcm_s16le", 11_025),
    Encoding("amr", "libopencore_amrnb", 8_000, 1, 12_200),
    Encoding("flac", "flac", 48_000, 2),
    Encoding("mp3", "libmp3lame", 22_050, 1, 32_000),
    Encoding("wav", "pcm_s16le", 22_050, 2),
    Encoding("webm", "libopus", 48_000, 2, 32_000),
    Encoding("wav", "pcm_s16le", 24_000),
    Encoding("mp3", "libmp3lame", 16_000, 1, 24_000),
    Encoding("flac", "flac", 32_000),
    Encoding("wav", "pcm_s16le", 44_100, 2),
    Encoding("ogg", "libopus", 16_000, 1, 24_000),
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of the test: its file, what is said, and what it is an instance of."""

    path: Path
    text: str
    group: str
    voice: str
    encoding: Encoding
    noisy: bool

    @property
    def conditions(self) -> tuple[str, ...]:
        """The rows of the report that this recording counts in."""
        codec = self.encoding.codec.removeprefix("lib")
        return (
            self.group,
            f"codec {codec}",
            f"rate {self.encoding.rate}",
            "stereo" if self.encoding.channels == 2 else "mono",
            f"noise at {NOISE_DB:.0f} dB" if self.noisy else "no noise",
            f"voice {self.voice}",
        )


def scripts(rng: random.Random) -> Iterator[tuple[str, Sequence[str]]]:
    """(group, sentences) of each recording."""
    free = corpus.handwritten("held_out.txt")
    grammar = corpus.held_out_grammar(rng, GRAMMAR_SENTENCES)
    yield from (("free", [sentence]) for sentence in free)
    yield from (("grammar", [sentence]) for sentence in grammar)
    for _ in range(LONG_RECORDINGS):
        count = rng.randint(*SENTENCES_IN_A_LONG_RECORDING)
        yield "several", [rng.choice(rng.choice((free, grammar))) for _ in range(count)]


def record(sentences: Sequence[str], delivery: speech.Delivery, encoding: Encoding, noisy: bool, seed: int) -> bytes:
    """Speaks and encodes one recording."""
    rng = random.Random(seed)
    pauses = [rng.uniform(*PAUSE_SECONDS) for _ in sentences[1:]]
    spoken = speech.recite(sentences, delivery, pauses, encoding.rate)
    around = [speech.silence(rng.uniform(0.1, 0.8), encoding.rate) for _ in range(2)]
    samples = degrade.with_gain(np.concatenate([around[0], spoken, around[1]]), rng.uniform(-15, 0))
    if noisy:
        noise = np.random.default_rng(seed)
        added = rng.choice((degrade.white_noise, degrade.coloured_noise))(len(samples), noise)
        samples = degrade.add_noise(samples, added, NOISE_DB)
    return encode(samples, encoding)


def make(folder: Path, rounds: int = 1) -> list[Recording]:
    """Writes the test recordings; each further round says the same sentences under other conditions."""
    folder.mkdir(parents=True, exist_ok=True)
    recordings: list[Recording] = []
    conditions = itertools.cycle(itertools.product((False, True), ENCODINGS))
    voices = itertools.cycle(speech.HELD_OUT_VOICES)
    for round_ in range(rounds):
        rng = random.Random(SEED)
        for group, sentences in scripts(rng):
            noisy, encoding = next(conditions)
            delivery = speech.Delivery(next(voices), rng.randint(140, 210), rng.randint(35, 65))
            number = len(recordings)
            path = folder / f"{round_}-{number:04d}-{group}.{encoding.container}"
            path.write_bytes(record(sentences, delivery, encoding, noisy, SEED + number))
            recordings.append(Recording(path, "".join(sentences), group, delivery.voice, encoding, noisy))
        next(conditions)
        next(voices)
    return recordings
