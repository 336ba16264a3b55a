"""The network of FSMN-VAD over many recordings at once.

FunASR's weights (``funasr/models/fsmn_vad_streaming/encoder.py``), run over recordings of any lengths laid end to end
instead of one at a time. Each layer but its memory looks at single frames, and the memory looks back only, over 19
frames for each layer; so before each recording's frames stand the last 19 of its previous block, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

from consumer.errors import ModelUnavailable

State: TypeAlias = list[torch.Tensor]
"""What a recording's next block must know of those before it: of each layer the last frames, [frames, channels]."""


class Fsmn:
    """The network.

    Args:
        encoder: FunASR's ``FSMN``, ready for inference.

    Raises:
        ModelUnavailable: it looks ahead, so that recordings cannot be heard block by block.
    """

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self._memories = [layer.fsmn_block for layer in encoder.fsmn]
        if any(memory.conv_right is not None for memory in self._memories):
            raise ModelUnavailable(
                "engine.vad: the model looks at frames to come (rorder in its config.yaml is not 0), which cannot be "
                "used here."
            )

    def begin(self) -> State:
        """The state of a recording that was not heard yet."""
        return [memory.conv_left.weight.new_zeros(_reach(memory), memory.dim) for memory in self._memories]

    def __call__(
        self, features: torch.Tensor, lengths: Sequence[int], states: Sequence[State]
    ) -> tuple[torch.Tensor, list[State]]:
        """Score frames.

        Args:
            features: of all recordings, one behind the other, [frames, 400].
            lengths: how many of these frames are whose, each at least one.
            states: of each recording.

        Returns:
            The scores of each frame, [frames, classes], and the recordings' states behind them.
        """
        net = self._encoder
        hidden = torch.relu_(net.in_linear2(net.in_linear1(features)))
        after: list[State] = [[] for _ in states]
        for at, layer in enumerate(net.fsmn):
            hidden = layer.linear(hidden)
            before = [state[at] for state in states]
            for state, left in zip(after, _remember(layer.fsmn_block, hidden, lengths, before), strict=True):
                state.append(left)
            hidden = torch.relu_(layer.affine(hidden))
        scores = net.out_linear2(net.out_linear1(hidden))
        return net.softmax(scores) if net.use_softmax else scores, after


def _remember(
    memory: Any, hidden: torch.Tensor, lengths: Sequence[int], before: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Add to every frame what the memory makes of those before it, in place; the last frames of each recording."""
    reach = _reach(memory)
    parts = torch.split(hidden, list(lengths))
    joined = torch.cat([piece for pair in zip(before, parts, strict=True) for piece in pair])
    # As an image of one column: its channels then lie as the convolution wants them, without a copy.
    image = joined[None, None].permute(0, 3, 2, 1)
    recalled = memory.conv_left(image).permute(0, 3, 2, 1)[0, 0]
    after, at = [], 0
    for part, length in zip(parts, lengths, strict=True):
        part.add_(recalled[at : at + length])
        at += length + reach
        after.append(joined[at - reach : at].clone())
    return after


def _reach(memory: Any) -> int:
    """How many frames the memory looks back."""
    return int((memory.lorder - 1) * memory.lstride)
