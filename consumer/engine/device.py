"""Between the host and the device: copies that nobody waits for, and work beside the main line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from consumer.errors import DeviceMemoryExhausted


def reason_of(cause: torch.OutOfMemoryError) -> str:
    """What torch said, in a line. Keep this and not the error, whose traceback holds the memory that is too little."""
    return str(cause).splitlines()[0] if str(cause) else "no further reason given"


def no_memory(purpose: str, reason: str) -> DeviceMemoryExhausted:
    """The error of a recording that the device has no room for.

    Args:
        purpose: what it was needed for, as in "for a segment of 60 s by itself".
        reason: as `reason_of` gives it.
    """
    return DeviceMemoryExhausted(
        f"The device has no memory {purpose} ({reason}). Use a device with more memory, or end what else runs on it."
    )


def memory(device: torch.device) -> dict[str, int]:
    """Memory of a GPU in bytes: ``reserved`` by this process for tensors, ``used`` by all processes, ``total``."""
    free, total = torch.cuda.mem_get_info(device)
    return {"reserved": torch.cuda.memory_reserved(device), "used": total - free, "total": total}


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the host on the device; a GPU copies it while the host goes on."""
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


class Download:
    """Tensors on their way to the host; a GPU copies them, when they are computed, while the host goes on.

    Args:
        tensors: on any device.
    """

    def __init__(self, *tensors: torch.Tensor) -> None:
        self._copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
        self._arrived = None
        if any(tensor.is_cuda for tensor in tensors):
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()

    def wait(self) -> list[torch.Tensor]:
        """The tensors on the host."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copies


class Beside:
    """Runs work beside the main line of a GPU, so that to wait for one is not to wait for the other.

    Args:
        device: anything but a GPU has one line only.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """What is computed inside is complete afterwards, and may be used by the main line."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield
            self._stream.synchronize()
