"""What makes random weights behave like trained ones where that decides the speed: how many tokens, how many marks."""

from __future__ import annotations

from typing import Any

import torch

TOKENS_A_SECOND = 4.5
"""Of Mandarin speech."""
MARKS = {"<unk>": 1e-4, "_": 0.87, "，": 0.08, "。": 0.04, "？": 0.005, "、": 0.005}
"""How often each mark follows a token of Mandarin text, about."""
_STEPS = 60


def bias_for_mean(logits: torch.Tensor, mean: float) -> float:
    """What to add to logits, so that their sigmoids have a mean.

    Args:
        logits: any shape.
        mean: between 0 and 1.
    """
    low, high = -100.0, 100.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if torch.sigmoid(logits.double() + middle).mean() < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def bias_for_shares(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """What to add to logits, so that each class is the largest about as often as it should be.

    Args:
        logits: [samples, classes].
        shares: how often, [classes]; they sum to 1.
    """
    bias = torch.zeros(logits.shape[1])
    smallest = 1 / (10 * len(logits))
    for step in range(400):
        won = torch.bincount((logits + bias).argmax(dim=1), minlength=len(shares)) / len(logits)
        bias += (shares.clamp(min=smallest) / won.clamp(min=smallest)).log() * (0.3 if step < 200 else 0.03)
    return bias


@torch.inference_mode()
def calibrate_predictor(model: Any, features: list[torch.Tensor], frame_s: float = 0.06) -> None:
    """Set the predictor's bias so that a Paraformer hears as many tokens a second as there are in speech.

    Args:
        model: FunASR's model.
        features: of speech, [frames, channels] each.
        frame_s: seconds in a frame.
    """
    predictor = model.predictor
    found = []
    for one in features:
        encoded, _ = model.encode(one.unsqueeze(0), torch.tensor([len(one)]))
        hidden = torch.relu(predictor.cif_conv1d(predictor.pad(encoded.transpose(1, 2))))
        found.append(predictor.cif_output(hidden.transpose(1, 2)).flatten())
    bias = predictor.cif_output.bias
    bias += bias_for_mean(torch.cat(found), TOKENS_A_SECOND * frame_s)


@torch.inference_mode()
def calibrate_punctuation(model: Any, tokens: torch.Tensor) -> None:
    """Set the output's scale and bias so that a CT-Transformer marks as often as text is marked.

    Args:
        model: FunASR's model.
        tokens: texts to try it on, ids [texts, length].
    """
    lengths = torch.full((len(tokens),), tokens.shape[1])
    logits, _ = model.punc_forward(tokens, lengths)
    flat = logits.flatten(0, 1)
    scale = 1 / flat.std(dim=0).clamp(min=1e-6)
    output = model.decoder
    output.weight *= scale.unsqueeze(1)
    output.bias *= scale
    output.bias += bias_for_shares(flat * scale, torch.tensor(list(MARKS.values())))
