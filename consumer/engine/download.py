"""Fetch the models that the settings name, and do no more: ``python -m consumer.engine.download``.

For an init container, so that the service finds its models in the cache and needs no way to the hub.
"""

from __future__ import annotations

import sys

from consumer.engine.hub import find_models
from consumer.errors import TingxieError
from consumer.settings import load_settings


def main() -> int:
    """Exit code: 0 when all models are there, 1 when one cannot be had or the settings are wrong."""
    try:
        folders = find_models(load_settings().engine)
    except TingxieError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for folder in folders:
        sys.stdout.write(f"{folder.setting}: {folder.versioned} in {folder.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
