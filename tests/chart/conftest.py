from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.rendering import Helm


@pytest.fixture
def helm(helm_program: Path, tmp_path: Path) -> Helm:
    """Renders the chart with any values."""
    return Helm(helm_program, tmp_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: helm and promtool have to be installed."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.integration)
