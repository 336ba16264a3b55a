"""Training by the clock: a learning rate that warms up, then falls along a cosine until the minutes are spent."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch

# The cosine ends at this share of the peak, so that the last steps still move.
FLOOR = 0.02
GRADIENT_LIMIT = 5.0


def use_threads(count: int, seed: int) -> None:
    """Sets torch up for training on `count` cores; matrix products may use bfloat16 where the processor has it."""
    torch.set_num_threads(count)
    torch.set_float32_matmul_precision("medium")
    torch.manual_seed(seed)


@dataclass(slots=True)
class Schedule:
    """An optimiser and its learning rate over a fixed time. `step` returns False once the time is up."""

    model: torch.nn.Module
    minutes: float
    peak: float
    warm_up_steps: int
    steps: int = 0
    started: float = field(default_factory=time.monotonic)
    optimiser: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=self.peak, weight_decay=0.01, betas=(0.9, 0.98))

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.seconds >= self.minutes * 60

    def rate(self) -> float:
        """The learning rate now."""
        progress = min(1.0, self.seconds / (self.minutes * 60))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.peak * min(1.0, (self.steps + 1) / self.warm_up_steps) * (cosine + FLOOR)

    def step(self, loss: torch.Tensor) -> None:
        """One update along the gradient of `loss`."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_LIMIT)
        self.optimiser.step()
        self.steps += 1
