from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.timestamps import integrate, token_times

weight_lists = st.lists(st.floats(min_value=0, max_value=1, allow_nan=False), max_size=60)


@given(weight_lists, st.integers(min_value=0, max_value=30), st.integers(min_value=0, max_value=4000))
def test_times_are_ordered_and_inside_the_segment(weights: list[float], tokens: int, length_ms: int) -> None:
    times = token_times(weights, integrate(weights), tokens, frame_ms=60, length_ms=length_ms)
    assert len(times) == tokens
    assert all(0 <= start <= end <= length_ms for start, end in times)
    assert all(before[1] <= after[0] for before, after in pairwise(times))


def test_a_token_lasts_from_its_fire_to_the_next() -> None:
    weights = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    times = token_times(weights, [2, 5, 8], 2, frame_ms=60, length_ms=600)
    assert times == [(30, 210), (210, 600)]


def test_fires_that_do_not_fit_the_tokens_are_fitted() -> None:
    weights = [0.1] * 30  # three fires, but five tokens
    times = token_times(weights, integrate(weights), 5, frame_ms=60, length_ms=1800)
    assert len({start for start, _ in times}) == 5


def test_a_token_before_a_pause_is_cut() -> None:
    weights = [1.0] + [0.0] * 49 + [1.0] * 2
    (start, end), _ = token_times(weights, [0, 50, 51], 2, frame_ms=60, length_ms=3120, longest_frames=7)
    assert end - start <= 7 * 60


def test_integration_fires_at_each_whole_number() -> None:
    assert integrate([0.5, 0.5, 0.6, 0.3, 0.2, 1.0]) == [1, 4, 5]
