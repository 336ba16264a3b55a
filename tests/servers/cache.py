"""Where server programs are kept between runs, and how what takes long is made once, even when several ask for it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class ServerError(Exception):
    """A server cannot be installed or started; the message names it and says what to do."""


def cache_root() -> Path:
    """The folder of installed servers: ``$TINGXIE_CACHE/servers``, else that of the user's cache."""
    if chosen := os.environ.get("TINGXIE_CACHE"):
        return Path(chosen) / "servers"
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "tingxie" / "servers"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_once(name: str, build: Callable[[Path], None]) -> Path:
    """The folder of the server ``name``, as `make_once` makes it."""
    return make_once(cache_root() / name, build)


def make_once(target: Path, build: Callable[[Path], None]) -> Path:
    """Return the folder ``target``, building it first when it is not there.

    ``build`` fills a temporary folder, which is renamed when it is complete: a folder under its final name is whole,
    whatever was interrupted before. What ``build`` raises is passed on.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(f".{target.name}.lock")):
        if not target.is_dir():
            draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                build(draft)
                draft.chmod(0o755)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return target


def failure_of(install: Callable[[], Path]) -> str | None:
    """Run an installer; what it could not do, or None."""
    try:
        install()
    except ServerError as error:
        return str(error)
    return None


def run_installer(
    server: str, command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None, timeout_s: float
) -> None:
    """Run one installing command and wait for it.

    Raises:
        ServerError: the program is missing, failed or took longer than ``timeout_s``; with its last output.
    """
    if shutil.which(command[0]) is None:
        raise ServerError(
            f"{server} cannot be installed: the program {command[0]!r} is not on the PATH; "
            "`make servers` installs it, or names the package"
        )
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(
            f"{server} cannot be installed: {' '.join(command)} did not end within {timeout_s:.0f} s"
        ) from error
    if done.returncode != 0:
        failed = f"{server} cannot be installed: {' '.join(command)} ended with code {done.returncode}"
        raise ServerError(f"{failed}:\n{done.stdout[-4000:]}")


def install_go(server: str, package: str) -> Path:
    """A Go program, built when it is absent.

    Args:
        server: the name of its folder.
        package: with its version, ``host/path/program@v1.2.3``.

    Raises:
        ServerError: Go is missing or the build failed.
    """
    program = package.partition("@")[0].rpartition("/")[2]
    return install_once(server, lambda folder: go_install(server, package, folder)) / program


def go_install(server: str, package: str, folder: Path) -> None:
    """Build a Go program, named with its version, into ``folder``.

    Raises:
        ServerError: Go is missing or the build failed.
    """
    # GOTOOLCHAIN: a Go older than the program asks for fetches the right one. CGO: no C compiler is needed.
    env = {"GOBIN": str(folder), "GOTOOLCHAIN": "auto", "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    run_installer(server, ["go", "install", "-ldflags=-s -w", package], cwd=folder, env=env, timeout_s=1800)
