"""Mutated media files: real recordings, damaged the way a header's reader fears most. Pure; a seed tells all.

``python -m tests.fuzz.mutate SEED NUMBER FILE`` writes one of them to a file.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from consumer.demo.assets import SAMPLES
from tests.fuzz.fields import fields, repair
from tests.unit.audio.media import encode, tone

# Container and encoder of what the demo has no sample of, and sample rate.
MORE_KINDS = (
    ("w64", "pcm_s16le", 8_000),
    ("aiff", "pcm_s16be", 16_000),
    ("au", "pcm_mulaw", 8_000),
    ("wav", "adpcm_ms", 22_050),
    ("wav", "adpcm_ima_wav", 22_050),
    ("wav", "g726", 8_000),
    ("adts", "aac", 44_100),
    ("mp2", "mp2", 44_100),
    ("ipod", "alac", 44_100),
    ("mov", "pcm_s24le", 48_000),
    ("3gp", "libopencore_amrnb", 8_000),
    ("mp4", "ac3", 48_000),
    ("ogg", "vorbis", 44_100),
    ("ogg", "flac", 16_000),
    ("matroska", "eac3", 48_000),
    ("webm", "vorbis", 48_000),
)
HEAD = 600
"""Bytes at the start in which most of what a container says stands."""


class Mutant(NamedTuple):
    """A file that was damaged, and how."""

    origin: str
    steps: tuple[str, ...]
    data: bytes


@cache
def originals() -> tuple[tuple[str, bytes], ...]:
    """Name and content of the demo's samples, and of a short recording in each further container."""
    samples = [(path.name, path.read_bytes()) for path in sorted(SAMPLES.iterdir()) if path.suffix != ".json"]
    made = [
        (f"{kind}-{codec}", encode(kind, codec, tone(0.5, rate, 2 if kind != "3gp" and rate != 8_000 else 1), rate))
        for kind, codec, rate in MORE_KINDS
    ]
    return (*samples, *made)


def mutant(seed: int, number: int) -> Mutant:
    """The file of that number; each is made on its own, so that one can be made again without the others."""
    chance = random.Random(f"{seed}-{number}")
    name, data = originals()[number % len(originals())]
    changed, steps = bytearray(data), []
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        step = chance.choice(STEPS)
        step(changed, chance)
        steps.append(step.__name__)
        if not changed:
            break
    if chance.random() < 0.7:
        repair(changed)
    return Mutant(name, tuple(steps), bytes(changed))


def flip_bits(data: bytearray, chance: random.Random) -> None:
    for at in _places(data, chance, chance.choice((1, 4, 32))):
        data[at] ^= 1 << chance.randrange(8)


def set_bytes(data: bytearray, chance: random.Random) -> None:
    for at in _places(data, chance, chance.choice((1, 4, 32))):
        data[at] = chance.choice((0x00, 0x01, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def lie(data: bytearray, chance: random.Random) -> None:
    """Give fields of the container's structure, its sizes above all, values that cannot be."""
    known = list(fields(bytes(data)))
    for field in chance.sample(known, min(len(known), chance.choice((1, 1, 3)))):
        top = (1 << 8 * field.width) - 1
        value = int.from_bytes(data[field.at : field.at + field.width], field.order)
        lies = (
            0,
            1,
            7,
            top,
            top >> 1,
            (top >> 1) + 1,
            value + 1,
            value - 1,
            value * 2,
            len(data),
            chance.randint(0, top),
        )
        data[field.at : field.at + field.width] = (chance.choice(lies) & top).to_bytes(field.width, field.order)


def truncate(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def cut_out(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 2, 16, 400, 5_000))]


def repeat(data: bytearray, chance: random.Random) -> None:
    at, target = _place(data, chance), _place(data, chance)
    data[target:target] = data[at : at + chance.choice((1, 8, 200, 5_000))] * chance.choice((1, 1, 3))


def splice(data: bytearray, chance: random.Random) -> None:
    """Go on with the end of another recording, or take a piece of it in."""
    other = chance.choice(originals())[1]
    at, start = _place(data, chance), chance.randrange(len(other))
    if chance.random() < 0.5:
        data[at:] = other[start:]
    else:
        data[at:at] = other[start : start + chance.choice((16, 400, 5_000))]


def swap(data: bytearray, chance: random.Random) -> None:
    """Let two parts of the structure change places."""
    known = [field.at for field in fields(bytes(data))]
    if len(known) < 3:
        return
    first, second, third = sorted(chance.sample(known, 3))
    data[first:third] = data[second:third] + data[first:second]


def blot(data: bytearray, chance: random.Random) -> None:
    at, length = _place(data, chance), chance.choice((4, 64, 2_000))
    filling = chance.choice((b"\x00", b"\xff", chance.randbytes(1), None))
    length = min(length, len(data) - at)
    data[at : at + length] = chance.randbytes(length) if filling is None else filling * length


Step = Callable[[bytearray, random.Random], None]
STEPS: tuple[Step, ...] = (
    flip_bits,
    flip_bits,
    set_bytes,
    lie,
    lie,
    lie,
    truncate,
    cut_out,
    repeat,
    splice,
    swap,
    blot,
)


def _places(data: bytearray, chance: random.Random, count: int) -> Iterator[int]:
    reach = min(len(data), chance.choice((64, HEAD, len(data))))
    return (chance.randrange(reach) for _ in range(count))


def _place(data: bytearray, chance: random.Random) -> int:
    """An offset: of a part of the structure, near the start, or anywhere."""
    known = [field.at for field in fields(bytes(data))] if chance.random() < 0.5 else []
    if known:
        return chance.choice(known)
    return chance.randrange(min(len(data), chance.choice((HEAD, len(data)))))


if __name__ == "__main__":
    made = mutant(int(sys.argv[1]), int(sys.argv[2]))
    Path(sys.argv[3]).write_bytes(made.data)
    sys.stderr.write(f"{made.origin}: {', '.join(made.steps)}\n")
