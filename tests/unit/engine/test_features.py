from __future__ import annotations

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.features import Features, Stretch


def features_of(lfr_m: int, lfr_n: int, cmvn: torch.Tensor | None = None) -> Features:
    return Features(SimpleNamespace(lfr_m=lfr_m, lfr_n=lfr_n, cmvn=cmvn), torch.device("cpu"))


def stacked(mel: torch.Tensor, lfr_m: int, lfr_n: int) -> torch.Tensor:
    """One feature after the other, by the definition: the edges are repeated."""
    left = (lfr_m - 1) // 2
    rows = []
    for centre in range(0, len(mel), lfr_n):
        chosen = [min(max(centre - left + i, 0), len(mel) - 1) for i in range(lfr_m)]
        rows.append(torch.cat([mel[i] for i in chosen]))
    return torch.stack(rows)


shapes = st.sampled_from([(7, 6), (5, 1), (1, 1), (4, 3)])
lengths = st.integers(1, 40)


def mel_of(length: int) -> torch.Tensor:
    return torch.randn(length, 80, generator=torch.Generator().manual_seed(length))


@given(shapes, st.lists(lengths, min_size=1, max_size=5))
def test_whole_sequences_are_stacked_and_normalised(shape: tuple[int, int], several: list[int]) -> None:
    cmvn = torch.randn(2, shape[0] * 80, generator=torch.Generator().manual_seed(0))
    mels = [mel_of(length) for length in several]
    for mel, features in zip(mels, features_of(*shape, cmvn).whole(mels), strict=True):
        assert torch.equal(features, (stacked(mel, *shape) + cmvn[0]) * cmvn[1])


@given(shapes, lengths, st.data())
def test_a_stretch_is_a_part_of_the_whole(shape: tuple[int, int], length: int, data: st.DataObject) -> None:
    mel = mel_of(length)
    whole = stacked(mel, *shape)
    first = data.draw(st.integers(0, len(whole) - 1))
    count = data.draw(st.integers(1, len(whole) - first))
    features = features_of(*shape)
    assert torch.equal(features([Stretch(mel, first, count)]), whole[first : first + count])
    assert features.count(length) == len(whole)


@given(st.integers(1, 30), st.integers(0, 30))
def test_a_feature_reads_no_frame_beyond_its_lookahead(known: int, more: int) -> None:
    features = features_of(5, 1)
    assert features.lookahead == 2
    mel = mel_of(known + 2 + more)
    assert torch.equal(features([Stretch(mel[: known + 2], 0, known)]), stacked(mel, 5, 1)[:known])
