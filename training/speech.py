"""Speaks Mandarin through espeak-ng: Hanzi to numbered pinyin, pinyin to samples."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray
from pypinyin import Style, lazy_pinyin
from scipy.signal import resample_poly

from training.vocabulary import SENTENCE_ENDS

Samples = NDArray[np.float32]

# The plain `cmn` voice mispronounces Hanzi; this one reads pinyin with tone numbers.
LANGUAGE = "cmn-latn-pinyin"
MODEL_RATE = 16_000
WAV_HEADER_BYTES = 44
# fmt: off
TRAINING_VOICES = (
    "", "f1", "f2", "f3", "f5", "m1", "m2", "m3", "m4", "m5", "m7", "m8", "anika", "max", "linda", "Lee",
    "adam", "Alex", "Alicia", "Andrea", "Annie", "antonio", "benjamin", "boris", "caleb", "david", "Denis",
    "Diogo", "ed", "edward", "Gene", "Henrique", "Hugo", "Jacky", "john", "Marco", "Mario", "Michael",
    "miguel", "Mike", "Nguyen", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby",
    "steph", "travis", "victor", "zac",
)
# fmt: on
# Never heard in training: the evaluation uses these.
HELD_OUT_VOICES = ("f4", "m6", "Andy", "belinda")
# The plain variants are drawn this many times as often as the named ones.
PLAIN_VOICE_WEIGHT = 3


@dataclass(frozen=True, slots=True)
class Delivery:
    """How something is said: an espeak-ng voice variant ("" for the plain voice), words a minute, pitch 0 to 99."""

    voice: str = ""
    speed: int = 170
    pitch: int = 50


def random_delivery(rng: random.Random, voices: Sequence[str] = TRAINING_VOICES) -> Delivery:
    """A delivery with one of `voices`."""
    weights = [PLAIN_VOICE_WEIGHT if len(voice) <= 2 else 1 for voice in voices]
    return Delivery(rng.choices(voices, weights)[0], rng.randint(130, 230), rng.randint(25, 75))


def pinyin(text: str, *, light_particle: bool = False) -> str:
    """Numbered pinyin of `text`. `light_particle` reads a lone 得 without tone, as people do after a verb."""
    syllables = lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True)
    if light_particle:
        syllables = ["de5" if s == "de2" else s for s in syllables]
    return " ".join(syllable.replace("ü", "v") for syllable in syllables)


def script(sentence: str, *, light_particle: bool = False, final_mark: bool = False) -> str:
    """What espeak-ng reads for a punctuated sentence: pinyin, commas, and the final mark if wanted."""
    body = sentence.rstrip(SENTENCE_ENDS)
    clauses = body.replace("、", "，").replace("。", "，").replace("？", "，").split("，")
    read = ", ".join(pinyin(clause, light_particle=light_particle) for clause in clauses if clause)
    end = ("?" if sentence.endswith("？") else ".") if final_mark else ""
    return read + end


def resample(samples: Samples, source: int, target: int) -> Samples:
    """`samples` at `target` Hz."""
    if source == target:
        return samples
    divisor = gcd(source, target)
    return np.asarray(resample_poly(samples, target // divisor, source // divisor), dtype=np.float32)


def speak(text: str, delivery: Delivery, rate: int = MODEL_RATE) -> Samples:
    """The samples of a script, in -1 to 1, at `rate` Hz."""
    voice = LANGUAGE + (f"+{delivery.voice}" if delivery.voice else "")
    command = ["espeak-ng", "-v", voice, "-s", str(delivery.speed), "-p", str(delivery.pitch), "--stdout", text]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    native_rate = struct.unpack_from("<I", output, 24)[0]
    samples = np.frombuffer(output[WAV_HEADER_BYTES:], dtype="<i2").astype(np.float32) / np.float32(32768)
    return resample(samples, native_rate, rate)


def silence(seconds: float, rate: int = MODEL_RATE) -> Samples:
    """Digital silence."""
    return np.zeros(round(seconds * rate), dtype=np.float32)


def recite(sentences: Sequence[str], delivery: Delivery, pauses: Sequence[float], rate: int = MODEL_RATE) -> Samples:
    """Several sentences by one speaker; `pauses` are the seconds between them, one fewer than the sentences."""
    parts = [speak(script(sentences[0]), delivery, rate)]
    for pause, sentence in zip(pauses, sentences[1:], strict=True):
        parts += [silence(pause, rate), speak(script(sentence), delivery, rate)]
    return np.concatenate(parts)


def vary(delivery: Delivery, rng: random.Random) -> Delivery:
    """Nearly the same delivery: nobody says two sentences at exactly one speed."""
    speed = min(230, max(130, delivery.speed + rng.randint(-12, 12)))
    return replace(delivery, speed=speed)
