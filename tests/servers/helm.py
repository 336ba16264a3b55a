"""Helm, which renders the chart; it needs no cluster for that."""

from __future__ import annotations

from pathlib import Path

from tests.servers.cache import install_go

VERSION = "4.3.1"
NAME = f"helm-{VERSION}"
PACKAGE = f"helm.sh/helm/v4/cmd/helm@v{VERSION}"


def install() -> Path:
    """The program, built by Go when absent (2 to 7 minutes, 60 MB).

    Raises:
        ServerError: Go is missing or the build failed.
    """
    return install_go(NAME, PACKAGE)
