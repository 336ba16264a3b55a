"""Continuous integrate-and-fire, vectorised over a padded batch (CIF: https://arxiv.org/abs/1905.11235).

FunASR's ``cif_v1`` computes the same, but fails when the last row of a batch fires nothing; here such a row is just
empty. A row's result does not depend on the other rows or on how far it is padded.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Fired(NamedTuple):
    """What integration gave.

    Attributes:
        embeddings: one vector a fire, [batch, most fires, channels]; zero behind a row's last.
        counts: fires in each row, int64 [batch], on the host.
        fires: whether a frame fired, bool [batch, frames].
    """

    embeddings: torch.Tensor
    counts: torch.Tensor
    fires: torch.Tensor


def integrate_and_fire(hidden: torch.Tensor, weights: torch.Tensor) -> Fired:
    """Sum frames by their weights, and emit a vector whenever the weights pass the next whole number.

    The frame that passes it is shared: what it lacked goes to this vector, the rest to the next.

    Args:
        hidden: encoder frames, float32 [batch, frames, channels].
        weights: how much of a token is in each frame, float32 [batch, frames]; 0 where a row is padded.
    """
    batch, _, channels = hidden.shape
    # In double precision, as in FunASR: the sum of a long row must not drift across a whole number.
    totals = weights.cumsum(dim=1, dtype=torch.float64).to(torch.float32)
    passed = totals.floor()
    before = torch.nn.functional.pad(passed[:, :-1], (1, 0))
    fires = passed > before
    fired = fires.sum(dim=1)
    counts = fired.cpu()
    embeddings = hidden.new_zeros(batch, int(counts.max()), channels)
    if embeddings.shape[1] == 0:
        return Fired(embeddings, counts, fires)
    rows, frames = fires.nonzero(as_tuple=True)
    running = (weights.unsqueeze(-1) * hidden).cumsum(dim=1)[rows, frames]
    rest = (totals - passed)[rows, frames].unsqueeze(-1) * hidden[rows, frames]
    first = torch.ones_like(rows, dtype=torch.bool)
    first[1:] = rows[1:] != rows[:-1]
    first = first.unsqueeze(-1)
    running_before = running.roll(1, dims=0).masked_fill(first, 0)
    rest_before = rest.roll(1, dims=0).masked_fill(first, 0)
    places = torch.arange(len(rows), device=rows.device) - (fired.cumsum(0) - fired)[rows]
    embeddings[rows, places] = running - running_before + rest_before - rest
    return Fired(embeddings, counts, fires)
