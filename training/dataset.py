"""Synthetic recordings as features on disk: shards of utterances with their text and speech labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.features import MEL_BANDS

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording: its punctuated text, its log mel features in half precision, and 1 for each frame of speech."""

    text: str
    mel: NDArray[np.float16]
    speech: Labels


def write_shard(path: Path, utterances: Sequence[Utterance]) -> None:
    """Writes one shard, atomically: a reader of the folder never sees half of one."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            texts=np.frombuffer(json.dumps([u.text for u in utterances]).encode(), np.uint8),
            lengths=np.array([len(u.mel) for u in utterances]),
            mel=np.concatenate([u.mel for u in utterances]).reshape(-1, MEL_BANDS),
            speech=np.concatenate([u.speech for u in utterances]),
        )
    part.rename(path)


def read_shard(path: Path) -> Iterator[Utterance]:
    """The utterances of one shard."""
    with np.load(path) as shard:
        texts = json.loads(shard["texts"].tobytes())
        ends = np.cumsum(shard["lengths"])
        mel, speech = shard["mel"], shard["speech"]
    for text, end, length in zip(texts, ends, np.diff(ends, prepend=0), strict=True):
        yield Utterance(text, mel[end - length : end], speech[end - length : end])


def read_folder(folder: Path) -> list[Utterance]:
    """All utterances of a dataset."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise FileNotFoundError(f"no shards in {folder}: run `python -m training.synthesise` first")
    return [utterance for path in paths for utterance in read_shard(path)]
