"""What traces cost whoever has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPENED = """
import sys
from consumer.app import open_service
from consumer.settings import load_settings

with open_service(load_settings()):
    print(any(name.split(".")[0] == "opentelemetry" for name in sys.modules))
"""


@pytest.mark.parametrize(("traces", "imported"), [("none", "False"), ("otlp", "True")])
def test_the_library_is_imported_only_where_traces_are_asked_for(tmp_path: Path, traces: str, imported: str) -> None:
    settings = {"TELEMETRY__TRACES": traces, "TELEMETRY__PORT": "0", "LIMITS__SPOOL_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OPENED],
        env={**os.environ, **{f"TINGXIE_{name}": value for name, value in settings.items()}},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == imported
