"""The lock files pin what pyproject.toml asks for, and name no registry."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUNTIME, DEV = "requirements.lock", "requirements-dev.lock"


@cache
def pins(lock: str) -> list[Requirement]:
    lines = re.findall(r"^([A-Za-z0-9].*?)\s*\\$", (ROOT / lock).read_text("utf-8"), re.MULTILINE)
    return [Requirement(line) for line in lines]


def group(name: str) -> list[str]:
    """A dependency group with those it includes."""
    found: list[str] = []
    for entry in PROJECT["dependency-groups"][name]:
        found += group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return found


def asked_for() -> list[tuple[str, str]]:
    runtime = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["demo"]
    return [(RUNTIME, one) for one in runtime] + [(DEV, one) for one in runtime + group("dev")]


@pytest.mark.parametrize(("lock", "wanted"), asked_for())
def test_pins_what_is_asked_for(lock: str, wanted: str) -> None:
    requirement = Requirement(wanted)
    found = [pin for pin in pins(lock) if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    assert found, f"{requirement.name} is not in {lock}: run `make lock`"
    for pin in found:
        (version,) = [one.version for one in pin.specifier]
        assert requirement.specifier.contains(version, prereleases=True), f"{pin} is outside {wanted}: run `make lock`"


def test_development_runs_on_the_versions_of_production() -> None:
    assert {str(pin) for pin in pins(RUNTIME)} <= {str(pin) for pin in pins(DEV)}


@pytest.mark.parametrize("lock", [RUNTIME, DEV])
def test_every_pin_is_hashed_and_no_address_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]

    assert len(blocks) == len(pins(lock))
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.findall(r"://|--(?:extra-)?index|--find-links", text)
