"""Everything in this folder needs the cluster of three nodes, and most of it a group of consumers at work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.play import Play, open_play
from tests.faults.stage import Stage, open_stage
from tests.servers import ServerError

TIMEOUT_S = 900.0
"""The first test waits for three nodes and three consumers that load models; on a busy machine that takes minutes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, so that ``-m "not integration"`` leaves all of them out; give them time."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Cluster, bucket and proxies."""
    try:
        with open_stage() as stage:
            yield stage
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def play(stage: Stage) -> Iterator[Play]:
    """Three consumers at work, healthy at the beginning of each test."""
    with open_play(stage, say=print) as play:
        yield play
