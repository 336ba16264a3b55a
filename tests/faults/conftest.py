"""Everything in this folder needs the cluster of three nodes, and most of it a group of consumers at work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import server_errors_fail
from tests.faults.play import Play, open_play
from tests.faults.stage import Stage, open_stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Cluster, bucket and proxies."""
    with server_errors_fail(), open_stage() as stage:
        yield stage


@pytest.fixture(scope="session")
def play(stage: Stage) -> Iterator[Play]:
    """Three consumers at work, healthy at the beginning of each test."""
    with open_play(stage, say=print) as play:
        yield play
