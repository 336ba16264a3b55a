"""Makes training recordings: `python -m training.synthesise recogniser --out data/recogniser --count 40000`."""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from training import corpus, degrade, media, speech
from training.dataset import Labels, Utterance, write_shard
from training.features import log_mel
from training.speech import MODEL_RATE, Samples

SHARD_SIZE = 500
# A segment that the voice activity detector cuts is no longer than this, so training needs none that is.
MAXIMUM_SECONDS = 20.0
NON_SPEECH_SHARE = 0.25
# Shortest, longest and most frequent pause between sentences. The detector bears with 2 s within a short segment.
PAUSE_SECONDS = (0.1, 2.3, 0.4)
FRAME = MODEL_RATE // 100
FRAME_WINDOW = FRAME * 5 // 2
# Frames softer than this against the loudest are no speech, unless they are a stop within a word.
SPEECH_FLOOR_DB = -42.0
LONGEST_STOP_FRAMES = 15

# The last recordings of this process, from which the babble of later ones is mixed.
_crowd: deque[Samples] = deque(maxlen=24)


def label_speech(clean: Samples) -> Labels:
    """1 for each 10 ms frame of the clean signal that holds speech; gaps as short as a stop consonant are filled."""
    count = max(0, (len(clean) - FRAME_WINDOW) // FRAME + 1)
    if not count:
        return np.zeros(0, np.uint8)
    frames = np.lib.stride_tricks.sliding_window_view(clean, FRAME_WINDOW)[::FRAME][:count]
    energy = np.mean(frames**2, axis=1)
    sounding = energy > max(float(energy.max()) * 10 ** (SPEECH_FLOOR_DB / 10), 1e-8)
    labels: Labels = sounding.astype(np.uint8)
    starts = np.flatnonzero(sounding)
    for before, after in itertools.pairwise(starts):
        if after - before <= LONGEST_STOP_FRAMES:
            labels[before:after] = 1
    return labels


def perform(sentences: tuple[str, ...], rng: random.Random) -> Samples:
    """The sentences by one random voice, with silence around and between them."""
    delivery = speech.random_delivery(rng)
    light, marked = rng.random() < 0.15, rng.random() < 0.3
    parts = [speech.silence(rng.uniform(0, 0.5))]
    for sentence in sentences:
        read = speech.script(sentence, light_particle=light, final_mark=marked)
        parts += [speech.speak(read, speech.vary(delivery, rng)), speech.silence(rng.triangular(*PAUSE_SECONDS))]
    parts[-1] = speech.silence(rng.uniform(0, 0.5))
    return np.concatenate(parts)


def finish(clean: Samples, text: str, rng: random.Random) -> Utterance:
    """Degrades a clean recording and computes what the models see of it."""
    heard = degrade.degrade(clean, rng, _crowd)
    _crowd.append(clean)
    mel = log_mel(heard).astype(np.float16)
    return Utterance(text, mel, label_speech(clean)[: len(mel)])


def spoken(sentences: tuple[str, ...], rng: random.Random) -> Utterance | None:
    """The sentences as one recording, or None when it came out too long."""
    clean = perform(sentences, rng)
    if len(clean) > MAXIMUM_SECONDS * MODEL_RATE:
        return None
    return finish(clean, "".join(sentences), rng)


def recogniser_recording(seed: int) -> Utterance | None:
    """One recording to learn words from."""
    rng = random.Random(seed)
    return spoken(corpus.utterance(rng), rng)


def development_recording(seed: int) -> Utterance | None:
    """One recording to choose the best weights by."""
    rng = random.Random(seed)
    return spoken(tuple(corpus.development_sentence(rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))), rng)


def non_speech(rng: random.Random) -> Samples:
    """Digital silence, noise, hum or music at any level, sometimes with bursts: nothing that anybody says."""
    noise = np.random.default_rng(rng.getrandbits(32))
    length = round(rng.uniform(2, 8) * MODEL_RATE)
    if rng.random() < 0.2:
        return np.zeros(length, np.float32)
    samples = degrade.music(length, noise) if rng.random() < 0.4 else degrade.some_noise(length, noise, ())
    samples = samples / max(1e-3, float(np.abs(samples).max())) * 10 ** (rng.uniform(-70, 0) / 20)
    for _ in range(rng.choice([0, 0, 1, 3])):
        start = rng.randrange(length)
        samples[start : start + round(rng.uniform(0.005, 0.3) * MODEL_RATE)] *= rng.choice([0.0, 3.0])
    return np.asarray(np.clip(samples, -1, 1), dtype=np.float32)


def detector_recording(seed: int) -> Utterance | None:
    """One recording to learn speech and silence from: long pauses, and often no speech at all."""
    rng = random.Random(seed)
    if rng.random() < NON_SPEECH_SHARE:
        samples = non_speech(rng)
        if rng.random() < degrade.CODED_SHARE:
            samples = media.round_trip(samples, degrade.random_encoding(rng))
        mel = log_mel(samples).astype(np.float16)
        return Utterance("", mel, np.zeros(len(mel), np.uint8))
    sentences = tuple(corpus.sentence(rng) for _ in range(rng.randint(1, 3)))
    clean = np.concatenate([speech.silence(rng.uniform(0, 1)), perform(sentences, rng)])
    return finish(np.concatenate([clean, speech.silence(rng.uniform(0, 1))]), "".join(sentences), rng)


MAKERS: dict[str, Callable[[int], Utterance | None]] = {
    "recogniser": recogniser_recording,
    "development": development_recording,
    "detector": detector_recording,
}


def write_shards(folder: Path, utterances: Iterable[Utterance | None], first: int) -> tuple[int, int]:
    """Writes shards as utterances arrive; returns how many there were, and their frames."""
    batch: list[Utterance] = []
    count = frames = 0
    shard = first
    for utterance in utterances:
        if utterance is None or not len(utterance.mel):
            continue
        batch.append(utterance)
        count, frames = count + 1, frames + len(utterance.mel)
        if len(batch) == SHARD_SIZE:
            write_shard(folder / f"{shard:08d}.npz", batch)
            batch, shard = [], shard + 1
    if batch:
        write_shard(folder / f"{shard:08d}.npz", batch)
    return count, frames


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=MAKERS)
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--count", type=int, default=40_000, help="recordings to make")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same sentences and voices")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    seeds = range(arguments.seed * 10_000_000, arguments.seed * 10_000_000 + arguments.count)
    with Pool(arguments.workers) as pool:
        made = pool.imap_unordered(MAKERS[arguments.kind], seeds, chunksize=20)
        count, frames = write_shards(arguments.out, made, arguments.seed * 100_000)
    print(f"{count} recordings, {frames / 360_000:.1f} h, in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
