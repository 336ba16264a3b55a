"""Models that differ from the shipped ones: another revision, or one that is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch


def another_revision(folder: Path, target: Path, *, noise: float = 0.0) -> Path:
    """A copy of a model folder whose weights, and so its revision, are others; without noise it hears the same."""
    shutil.copytree(folder, target)
    state = torch.load(target / "model.pt", weights_only=True)
    generator = torch.Generator().manual_seed(0)
    for name, weights in state.items():
        if noise and weights.is_floating_point():
            state[name] = weights + noise * torch.randn(weights.shape, generator=generator)
    state["another-revision"] = torch.zeros(1)  # no part of the model, and so without effect
    torch.save(state, target / "model.pt")
    return target


def broken(folder: Path, target: Path) -> Path:
    """A copy of a model folder whose weights were cut off."""
    shutil.copytree(folder, target)
    weights = target / "model.pt"
    weights.write_bytes(weights.read_bytes()[:10_000])
    return target
