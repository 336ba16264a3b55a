"""Fetch the models that the settings name, and do no more: ``python -m consumer.engine.download``.

For an init container, so that the service finds its models in the cache and needs no way to the hub.
"""

from __future__ import annotations

import sys

from consumer.engine.hub import ModelFolder, find_model
from consumer.errors import TingxieError
from consumer.settings import EngineSettings, load_settings


def download(settings: EngineSettings) -> list[ModelFolder]:
    """The folders of all models, downloaded where need be.

    Raises:
        ModelUnavailable: one cannot be had; the message names its setting, the cause and a way out.
    """
    wanted = [
        ("engine.model", settings.model, settings.model_revision),
        ("engine.vad", settings.vad, settings.vad_revision),
        ("engine.punctuation", settings.punctuation, settings.punctuation_revision),
    ]
    return [find_model(*each) for each in wanted if each[1]]


def main() -> int:
    """Exit code: 0 when all models are there, 1 when one cannot be had or the settings are wrong."""
    try:
        folders = download(load_settings().engine)
    except TingxieError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for folder in folders:
        sys.stdout.write(f"{folder.setting}: {folder.versioned} in {folder.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
