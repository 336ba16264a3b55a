"""Two ways from recordings to texts: the product's command, and FunASR's own `AutoModel` to compare it with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from training.media import decode

FOLDERS = {"MODEL": "paraformer", "VAD": "fsmn-vad", "PUNCTUATION": "ct-transformer"}

Transcriber = Callable[[Path, Sequence[Path]], Mapping[Path, str]]


def with_tingxie(models: Path, recordings: Sequence[Path]) -> dict[Path, str]:
    """The texts that `tingxie transcribe` gives, by recording."""
    chosen = {f"TINGXIE_ENGINE__{name}": str(models / folder) for name, folder in FOLDERS.items()}
    command = [sys.executable, "-m", "consumer", "transcribe", "--format", "json", *map(str, recordings)]
    run = subprocess.run(command, env={**os.environ, **chosen}, stdout=subprocess.PIPE, check=True, text=True)
    transcripts = [json.loads(line) for line in run.stdout.splitlines() if line]
    texts = {Path(transcript["source"]["key"]): transcript["text"] for transcript in transcripts}
    # A recording in which no speech was found has no transcript.
    return {path: texts.get(path, "") for path in recordings}


def with_funasr(models: Path, recordings: Sequence[Path]) -> dict[Path, str]:
    """The texts that FunASR's pipeline gives, by recording."""
    from funasr import AutoModel  # noqa: PLC0415  (importing it takes long)

    model = AutoModel(
        model=str(models / FOLDERS["MODEL"]),
        vad_model=str(models / FOLDERS["VAD"]),
        punc_model=str(models / FOLDERS["PUNCTUATION"]),
        disable_update=True,
        disable_pbar=True,
        log_level="ERROR",
    )
    texts = {}
    for path in recordings:
        results = model.generate(decode(path.read_bytes()))
        texts[path] = results[0]["text"] if results else ""
    return texts


TRANSCRIBERS: Mapping[str, Transcriber] = {"tingxie": with_tingxie, "funasr": with_funasr}
