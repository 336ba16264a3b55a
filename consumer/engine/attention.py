"""FunASR's layers with less memory traffic: the same sums, in fused kernels and in place.

FunASR multiplies, masks, normalises and multiplies again, each step over a matrix of frames by frames for every head:
4 MB a head for a segment of a minute. `torch.nn.functional.scaled_dot_product_attention` does it in one pass
(https://arxiv.org/abs/2205.14135). Its memory block (https://arxiv.org/abs/1803.05030) transposes, pads, convolves,
transposes back and adds what it began with; a convolution that reads channels last needs none of the steps around it.
Results differ in the last digits of single precision.
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
    from funasr.models.sanm.encoder import EncoderLayerSANM  # noqa: PLC0415 - likewise

    for module in model.modules():
        if isinstance(module, MultiHeadedAttentionSANM):
            module.register_buffer("memory_weight", _memory_weight(module), persistent=False)
            module.forward = MethodType(_self_attention, module)
        elif isinstance(module, MultiHeadedAttentionCrossAtt):
            module.forward = MethodType(_cross_attention, module)
        elif isinstance(module, EncoderLayerSANM) and module.normalize_before and not module.concat_after:
            module.forward = MethodType(_encoder_layer, module)
        elif isinstance(module, torch.nn.ReLU):
            module.inplace = True


def _encoder_layer(  # noqa: PLR0917 - the signature is FunASR's
    layer: Any,
    x: torch.Tensor,
    mask: torch.Tensor | None,
    cache: None = None,
    mask_shfit_chunk: None = None,
    mask_att_chunk_encoder: None = None,
) -> tuple[torch.Tensor, torch.Tensor | None, None, None, None]:
    """In place of ``EncoderLayerSANM.forward``; all after the mask is for streaming, which is not done here."""
    assert cache is mask_shfit_chunk is mask_att_chunk_encoder is None
    attended: torch.Tensor = layer.self_attn(layer.norm1(x), mask)
    x = attended.add_(x) if layer.in_size == layer.size else attended
    return layer.feed_forward(layer.norm2(x)).add_(x), mask, None, None, None


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
    if mask is not None and mask.device.type == "cpu" and bool(mask.all()):
        mask = None  # without one it is faster; on a GPU to ask would be to wait
    query, key, value, frames = layer.forward_qkv(x)
    attended = _attend(layer, query, key, value, mask)
    return attended.add_(_memory(layer, frames, mask))


def _memory_weight(layer: Any) -> torch.Tensor:
    """[channels, 1, 1, taps]: the memory block's filter, with what it filters added to its output."""
    weight: torch.Tensor = layer.fsmn_block.weight.detach().clone()
    weight[..., layer.pad_fn.padding[0]] += 1
    return weight.unsqueeze(2)


def _memory(layer: Any, frames: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """In place of ``MultiHeadedAttentionSANM.forward_fsmn``: [batch, frames, channels] to the same."""
    kept = None if mask is None else mask.reshape(len(frames), -1, 1)
    if kept is not None:
        frames = frames * kept
    left, right = layer.pad_fn.padding
    weight = layer.memory_weight
    rows = frames.transpose(1, 2).unsqueeze(2)  # as an image of one row, channels last in memory
    filtered = torch.nn.functional.conv2d(rows, weight, padding=(0, max(left, right)), groups=len(weight))
    if left != right:
        filtered = filtered.narrow(3, max(0, right - left), frames.shape[1])
    remembered = filtered.squeeze(2).transpose(1, 2)
    return remembered if kept is None else remembered * kept


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
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    joined: torch.Tensor = layer.linear_out(attended.transpose(1, 2).flatten(2))
    return joined
