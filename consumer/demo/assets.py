"""What ships with the package: the small models, the sample recordings, and how those end."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

# Installed as plain files always: the models' own library opens folders by their path.
_HERE = Path(str(files("consumer.demo")))

MODELS: Path = _HERE / "models"
"""Folder of the model folders."""

SAMPLES: Path = _HERE / "samples"
"""Folder of the sample recordings and their ``truth.json``."""

DROP_FOLDER = Path("tingxie-drop")
"""Watched by ``tingxie demo --keep`` when it names no folder; in the folder the command is called from."""


def demo_engine_settings() -> dict[str, str | int]:
    """The ``engine`` settings that suit the shipped models; they need no network."""
    return {
        "model": str(MODELS / "paraformer"),
        "vad": str(MODELS / "fsmn-vad"),
        "punctuation": str(MODELS / "ct-transformer"),
        # So small that a second thread gains nothing, and on a busy machine threads that wait for each other cost
        # much: 14 recordings took 118 s of wall time with two, 2 s with one (2 cores, load average 14).
        "threads": 1,
    }
