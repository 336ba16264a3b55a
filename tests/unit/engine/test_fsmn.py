from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from consumer.engine.fsmn import Fsmn
from consumer.errors import ModelUnavailable


class Memory(nn.Module):
    lorder, lstride, dim = 4, 2, 6

    def __init__(self, *, looks_ahead: bool = False) -> None:
        super().__init__()
        self.conv_left = nn.Conv2d(6, 6, (4, 1), dilation=(2, 1), groups=6, bias=False)
        self.conv_right = nn.Conv2d(6, 6, (2, 1), groups=6) if looks_ahead else None


class Layer(nn.Module):
    def __init__(self, *, looks_ahead: bool = False) -> None:
        super().__init__()
        self.linear, self.affine = nn.Linear(8, 6, bias=False), nn.Linear(6, 8)
        self.fsmn_block = Memory(looks_ahead=looks_ahead)


class Encoder(nn.Module):
    """What FunASR's FSMN looks like."""

    use_softmax = True

    def __init__(self, *, looks_ahead: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.in_linear1, self.in_linear2 = nn.Linear(10, 7), nn.Linear(7, 8)
        self.fsmn = nn.Sequential(Layer(), Layer(looks_ahead=looks_ahead))
        self.out_linear1, self.out_linear2 = nn.Linear(8, 7), nn.Linear(7, 3)
        self.softmax = nn.Softmax(dim=-1)
        self.requires_grad_(False)


NETWORK = Fsmn(Encoder())


def alone(features: torch.Tensor) -> torch.Tensor:
    """By the definition: whole recordings, one at a time, silence before them."""
    net = NETWORK._encoder
    hidden = torch.relu(net.in_linear2(net.in_linear1(features)))
    for layer in net.fsmn:
        hidden = layer.linear(hidden)
        padded = nn.functional.pad(hidden.T[None, :, :, None], (0, 0, 6, 0))
        hidden = hidden + layer.fsmn_block.conv_left(padded)[0, :, :, 0].T
        hidden = torch.relu(layer.affine(hidden))
    scores: torch.Tensor = net.softmax(net.out_linear2(net.out_linear1(hidden)))
    return scores


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(1, 15), min_size=1, max_size=4), min_size=1, max_size=5))
def test_recordings_together_and_in_blocks_score_as_alone_and_whole(blocks: list[list[int]]) -> None:
    recordings = [torch.randn(sum(lengths), 10, generator=torch.Generator().manual_seed(1)) for lengths in blocks]
    states = [NETWORK.begin() for _ in recordings]
    scores: list[list[torch.Tensor]] = [[] for _ in recordings]
    for turn in range(4):
        going = [at for at, lengths in enumerate(blocks) if turn < len(lengths)]
        if not going:
            break
        counts = [blocks[at][turn] for at in going]
        firsts = [sum(blocks[at][:turn]) for at in going]
        parts = [recordings[at][first : first + count] for at, first, count in zip(going, firsts, counts, strict=True)]
        together, after = NETWORK(torch.cat(parts), counts, [states[at] for at in going])
        for at, part, state in zip(going, torch.split(together, counts), after, strict=True):
            scores[at].append(part)
            states[at] = state
    for features, parts in zip(recordings, scores, strict=True):
        torch.testing.assert_close(torch.cat(parts), alone(features), rtol=0, atol=1e-5)


def test_a_network_that_looks_ahead_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match=r"engine\.vad.*rorder"):
        Fsmn(Encoder(looks_ahead=True))
