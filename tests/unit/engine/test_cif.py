from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.cif import integrate_and_fire

CHANNELS = 3
# Multiples of 1/64 are exact in binary, so that the reference and the vectorised sum agree on every whole number.
weights_of_a_row = st.lists(st.integers(min_value=0, max_value=64).map(lambda n: n / 64), min_size=1, max_size=40)


def one_by_one(hidden: list[list[float]], weights: list[float]) -> tuple[list[list[float]], list[int]]:
    """Integrate and fire as the paper says it: frame after frame."""
    vectors, fires = [], []
    total, vector = 0.0, [0.0] * CHANNELS
    for at, (frame, weight) in enumerate(zip(hidden, weights, strict=True)):
        used = weight if total + weight < 1 else 1 - total
        vector = [v + used * f for v, f in zip(vector, frame, strict=True)]
        total += weight
        if total >= 1:
            vectors.append(vector)
            fires.append(at)
            total -= 1
            vector = [total * f for f in frame]
    return vectors, fires


@given(st.lists(weights_of_a_row, min_size=1, max_size=6), st.integers(min_value=0, max_value=2**31))
def test_equals_the_definition_for_every_row(rows: list[list[float]], seed: int) -> None:
    width = max(map(len, rows))
    hidden = torch.randn(len(rows), width, CHANNELS, generator=torch.Generator().manual_seed(seed))
    weights = torch.tensor([row + [0.0] * (width - len(row)) for row in rows])
    fired = integrate_and_fire(hidden, weights)
    for at, row in enumerate(rows):
        vectors, fires = one_by_one(hidden[at, : len(row)].tolist(), row)
        assert fired.counts[at] == len(vectors)
        assert fired.fires[at].nonzero().flatten().tolist() == fires
        wanted = torch.tensor(vectors).reshape(-1, CHANNELS)
        torch.testing.assert_close(fired.embeddings[at, : len(vectors)], wanted, atol=1e-5, rtol=1e-5)
        assert not fired.embeddings[at, len(vectors) :].any()


@pytest.mark.parametrize("rows", [[[0.5] * 4, [0.0] * 4], [[0.0] * 4, [0.5] * 4], [[0.0] * 4, [0.1] * 4], [[0.0]]])
def test_survives_rows_that_fire_nothing(rows: list[list[float]]) -> None:
    weights = torch.tensor(rows)
    fired = integrate_and_fire(torch.ones(*weights.shape, CHANNELS), weights)
    assert fired.counts.tolist() == [int(sum(row)) for row in rows]
    assert fired.embeddings.shape == (len(rows), max(int(sum(row)) for row in rows), CHANNELS)


def test_a_row_is_the_same_in_any_company() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(4, 200, CHANNELS, generator=generator)
    weights = torch.rand(4, 200, generator=generator) / 3
    together = integrate_and_fire(hidden, weights)
    for at in range(4):
        alone = integrate_and_fire(hidden[at : at + 1, :150], weights[at : at + 1, :150])
        count = int(alone.counts[0])
        assert torch.equal(alone.embeddings[0], together.embeddings[at, :count])
