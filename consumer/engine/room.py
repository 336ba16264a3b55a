"""Whether memory has room for models beside those that are loaded: to find out by trying may end the process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from consumer.engine.hub import ModelFolder
from consumer.errors import ModelUnavailable

MARGIN = 256 * 1024**2
"""Bytes that stay free for what else goes on."""

_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
"""The control group as a container sees its own."""


def check_room(folders: Sequence[ModelFolder], device: str) -> None:
    """Refuse models that memory has no room for while others stay loaded.

    While a model is loaded there are its weights twice, as read and as built; a GPU gets them when they are built.

    Args:
        folders: of the models.
        device: ``cpu`` or ``cuda:0``.

    Raises:
        ModelUnavailable: the message tells how much is needed and how much there is.
    """
    sizes = [(folder.path / "model.pt").stat().st_size for folder in folders]
    stays = 0 if device != "cpu" else sum(sizes)
    _insist("the machine's memory", stays + 2 * max(sizes) + MARGIN, free_memory())
    if device != "cpu":
        free, _ = torch.cuda.mem_get_info(torch.device(device))
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        _insist(f"the memory of {device}", sum(sizes) + MARGIN, free + unused)


def _insist(where: str, needed: int, there: int | None) -> None:
    if there is not None and there < needed:
        raise ModelUnavailable(
            f"engine.model: {where} has no room for another model beside the one that serves: it takes "
            f"{needed / 1024**3:.1f} GiB, and {there / 1024**3:.1f} GiB are free. Restart the process instead, or give "
            "it more memory."
        )


def free_memory() -> int | None:
    """Bytes that this process may still take, within the limit of its container; None where the system tells none."""
    found = [each for each in (_of_machine(), _of_group()) if each is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    if not _MEMORY.is_file():
        return None
    lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def _of_group() -> int | None:
    """Version 2 of control groups; pages of files that can be read again do not count."""
    limit = _GROUP / "memory.max"
    if not limit.is_file() or (text := limit.read_text().strip()) == "max":
        return None
    stat = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
    used = int((_GROUP / "memory.current").read_text()) - int(stat["inactive_file"])
    return int(text) - used
