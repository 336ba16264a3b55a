"""When to try again: exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of retries in place.

    Attributes:
        attempts: tries in all, the first included.
        backoff_ms: bound of the first pause; doubles with each attempt.
        backoff_max_ms: bound of any pause.
        rng: source of jitter.
    """

    attempts: int
    backoff_ms: int
    backoff_max_ms: int
    rng: random.Random = field(default_factory=random.Random)

    def delay_ms(self, attempt: int) -> int | None:
        """Pause after failed try number ``attempt`` (from 1), or None when that was the last."""
        if attempt >= self.attempts:
            return None
        # 2 ** 20 is beyond any sensible bound; the cap keeps the power small for absurd attempt counts.
        bound = min(self.backoff_max_ms, self.backoff_ms * 2 ** min(attempt - 1, 20))
        return self.rng.randint(0, bound)
