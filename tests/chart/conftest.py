from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.rendering import Helm


@pytest.fixture
def helm(helm_program: Path, tmp_path: Path) -> Helm:
    """Renders the chart with any values."""
    return Helm(helm_program, tmp_path)
