"""Install the servers the tests need: ``python -m tests.servers``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.servers import collector, compose, helm, kafka, prometheus, toxiproxy, versitygw
from tests.servers.cache import cache_root, failure_of

INSTALLERS: dict[str, Callable[[], Path]] = {
    kafka.NAME: kafka.install,
    versitygw.NAME: versitygw.install,
    compose.NAME: compose.install,
    helm.NAME: helm.install,
    prometheus.NAME: prometheus.install,
    toxiproxy.NAME: toxiproxy.install,
    collector.NAME: collector.install,
}


def main() -> int:
    """Install all servers, also when one fails; 1 when one did."""
    failed = []
    for name, install in INSTALLERS.items():
        present = (cache_root() / name).is_dir()
        print(f"{name}: {'is' if present else 'installing'} in {cache_root() / name}", flush=True)  # noqa: T201
        begun = time.monotonic()
        if failure := failure_of(install):
            failed.append(name)
            print(f"{name}: FAILED. {failure}", file=sys.stderr)  # noqa: T201
        elif not present:
            print(f"{name}: installed in {time.monotonic() - begun:.0f} s", flush=True)  # noqa: T201
    if failed:
        print(f"cannot be set up: {', '.join(failed)}", file=sys.stderr)  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
