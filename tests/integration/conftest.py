"""Everything in this folder needs the real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

TIMEOUT_S = 600.0
"""Each starts processes that load models; on a busy machine that alone takes minutes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, so that ``-m "not integration"`` leaves all of them out; give them time."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
