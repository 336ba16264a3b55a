"""``tingxie version``: what is installed, from package metadata, since importing the libraries takes many seconds."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import typer

LIBRARIES = ("funasr", "torch", "confluent-kafka", "boto3", "av")
"""The ones that reports of trouble should name."""


def show_version(*, as_json: bool) -> None:
    """Print versions to stdout, this program's first."""
    versions = {"tingxie": version("tingxie"), "Python": platform.python_version()}
    versions |= {name: _version(name) for name in LIBRARIES}
    if as_json:
        typer.echo(json.dumps(versions))
        return
    for name, number in versions.items():
        typer.echo(f"{name} {number}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
