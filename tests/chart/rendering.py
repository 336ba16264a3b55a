"""The chart as the objects that it renders to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "tingxie"
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
MINIMAL = CHART / "ci" / "minimal-values.yaml"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Helm:
    """Renders the chart.

    Attributes:
        program: helm.
        folder: for values.
    """

    program: Path
    folder: Path

    def render(self, *files: Path, values: Mapping[str, Any] | None = None) -> list[Manifest]:
        """All objects of a release named ``release``, with the values of these files and of ``values``."""
        done = self.attempt(*files, values=values)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    def attempt(
        self, *files: Path, values: Mapping[str, Any] | None = None, command: str = "template"
    ) -> subprocess.CompletedProcess[str]:
        """Run helm, which may refuse."""
        given = self.folder / "values.json"
        given.write_text(json.dumps(values or {}))
        chosen = [argument for file in (*files, given) for argument in ("--values", str(file))]
        subject = ["release", str(CHART)] if command == "template" else [str(CHART)]
        # Nothing of the machine's own set-up: neither its repositories nor its cluster.
        environment = {"HOME": str(self.folder), "PATH": "/nowhere"}
        return subprocess.run(
            [str(self.program), command, *subject, *chosen],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """The only object of its kind."""
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pod_of(manifests: list[Manifest]) -> Manifest:
    """The specification of the Deployment's pods."""
    pod: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return pod


def consumer_of(manifests: list[Manifest]) -> Manifest:
    """The container that runs the program."""
    (container,) = pod_of(manifests)["containers"]
    assert isinstance(container, dict)
    return container
