from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from consumer.pipeline.retry import RetryPolicy


@given(st.integers(1, 200), st.integers(1, 10_000), st.integers(1, 60_000), st.integers(0, 2**32))
def test_every_pause_is_within_its_bound_and_the_last_try_is_the_last(
    attempts: int, backoff_ms: int, backoff_max_ms: int, seed: int
) -> None:
    policy = RetryPolicy(attempts, backoff_ms, backoff_max_ms, random.Random(seed))
    for attempt in range(1, attempts):
        delay = policy.delay_ms(attempt)
        assert delay is not None
        assert 0 <= delay <= min(backoff_max_ms, backoff_ms * 2 ** (attempt - 1))
    assert policy.delay_ms(attempts) is None
    assert policy.delay_ms(attempts + 1) is None


def test_jitter_spreads_the_pauses() -> None:
    policy = RetryPolicy(10, 1000, 60_000, random.Random(1))
    assert len({policy.delay_ms(3) for _ in range(50)}) > 40
