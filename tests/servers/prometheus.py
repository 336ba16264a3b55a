"""promtool, which checks Prometheus' rules and runs their tests: that of the system, else out of Debian's package."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from tests.servers.cache import ServerError, install_once, run_installer

NAME = "prometheus-debian"


def install() -> Path:
    """The program. Debian's package is unpacked, not installed: that would start a server (20 MB).

    Raises:
        ServerError: there is none on the PATH, and the package cannot be had.
    """
    if found := shutil.which("promtool"):
        return Path(found)
    return install_once(NAME, _unpack) / "usr" / "bin" / "promtool"


def _unpack(folder: Path) -> None:
    try:
        try:
            _download(folder)
        except ServerError:
            with suppress(ServerError):  # not root, and perhaps not needed
                run_installer(NAME, ["apt-get", "update", "-qq"], cwd=folder, timeout_s=300)
            _download(folder)
        (package,) = folder.glob("*.deb")
        run_installer(NAME, ["dpkg-deb", "--extract", str(package), str(folder)], cwd=folder, timeout_s=60)
        package.unlink()
    except ServerError as error:
        raise ServerError(f"install Prometheus, so that promtool is on the PATH; {error}") from error


def _download(folder: Path) -> None:
    run_installer(NAME, ["apt-get", "download", "-q", "prometheus"], cwd=folder, timeout_s=300)
