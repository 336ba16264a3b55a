"""FunASR's attention through torch's fused kernels: the same sums, without a matrix of all scores in memory.

FunASR multiplies, masks, normalises and multiplies again, each step over a matrix of frames by frames for every head:
4 MB a head for a segment of a minute. `torch.nn.functional.scaled_dot_product_attention` does it in one pass
(https://arxiv.org/abs/2205.14135). Results differ in the last digits of single precision.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch


def fuse(model: torch.nn.Module) -> None:
    """Let all attention of a FunASR model run in fused kernels, and its activations overwrite their arguments.

    Args:
        model: ready for inference; its layers are changed in place.
    """
    from funasr.models.sanm.attention import (  # noqa: PLC0415 - slow import
        MultiHeadedAttentionCrossAtt,
        MultiHeadedAttentionSANM,
    )

    for module in model.modules():
        if isinstance(module, MultiHeadedAttentionSANM):
            module.forward = MethodType(_self_attention, module)
        elif isinstance(module, MultiHeadedAttentionCrossAtt):
            module.forward = MethodType(_cross_attention, module)
        elif isinstance(module, torch.nn.ReLU):
            module.inplace = True


def _self_attention(
    layer: Any,
    x: torch.Tensor,
    mask: torch.Tensor | None,
    mask_shfit_chunk: torch.Tensor | None = None,
    mask_att_chunk_encoder: torch.Tensor | None = None,
) -> torch.Tensor:
    """In place of ``MultiHeadedAttentionSANM.forward``; masks of chunks are for streaming, which is not done here."""
    assert mask_shfit_chunk is None
    assert mask_att_chunk_encoder is None
    query, key, value, frames = layer.forward_qkv(x)
    memory: torch.Tensor = layer.forward_fsmn(frames, mask)
    return memory + _attend(layer, query, key, value, mask)


def _cross_attention(
    layer: Any,
    x: torch.Tensor,
    memory: torch.Tensor,
    memory_mask: torch.Tensor | None,
    ret_attn: bool = False,
) -> torch.Tensor:
    """In place of ``MultiHeadedAttentionCrossAtt.forward``."""
    assert not ret_attn
    query, key, value = layer.forward_qkv(x, memory)
    return _attend(layer, query, key, value, memory_mask)


def _attend(
    layer: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """[batch, heads, frames, channels of a head] each to [batch, frames, channels]; ``mask`` is 0 at padded keys."""
    seen = None if mask is None else mask.unsqueeze(1).ne(0)
    if seen is not None and seen.device.type == "cpu" and bool(seen.all()):
        seen = None  # a kernel without a mask is faster; on a GPU to ask would be to wait
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    joined: torch.Tensor = layer.linear_out(attended.transpose(1, 2).flatten(2))
    return joined
