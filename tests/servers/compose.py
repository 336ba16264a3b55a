"""The loader inside ``docker compose`` as a program: it checks a compose file without a container engine."""

from __future__ import annotations

from pathlib import Path

from tests.servers.cache import install_go

VERSION = "2.16.2"
NAME = f"compose-go-{VERSION}"
PACKAGE = f"github.com/compose-spec/compose-go/v2/cmd@v{VERSION}"


def install() -> Path:
    """The loader's program, built by Go when absent (about 15 s).

    Raises:
        ServerError: Go is missing or the build failed.
    """
    return install_go(NAME, PACKAGE)
