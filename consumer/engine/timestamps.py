"""When each token was spoken, from the weights of continuous integrate-and-fire (CIF).

The rules are those of FunASR's ``ts_prediction_lfr6_standard``: a token lasts from its fire to the next one; where the
number of fires does not fit the number of tokens, the weights are scaled until it does; a token is cut when it would
last too long, and the rest is silence. What is added: every token gets a time whatever the weights are, times never
go back, and they stay inside the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

FIRE_THRESHOLD = 1.0 - 1e-4
SHIFT_FRAMES = -1.5
"""A fire comes this much after the sound it belongs to."""
LONGEST_FRAMES = 12
"""FunASR's longest token, in frames of a timing head (20 ms)."""
LONGEST_COARSE_FRAMES = 7
"""The longest token where the frames are the encoder's (60 ms); 12 of them would reach far into a pause."""
EDGE_FRAMES = 5
"""A tail longer than this behind the last fire is taken for silence by half."""


def integrate(weights: Sequence[float], threshold: float = FIRE_THRESHOLD) -> list[int]:
    """Frames at which the sum of the weights passes a multiple of ``threshold``; at most one fire a frame."""
    fires: list[int] = []
    total = 0.0
    for frame, weight in enumerate(weights):
        total += weight
        if total >= threshold:
            total -= threshold
            fires.append(frame)
    return fires


def token_times(
    weights: Sequence[float],
    fires: Sequence[int],
    tokens: int,
    *,
    frame_ms: float,
    length_ms: int,
    longest_frames: int = LONGEST_FRAMES,
) -> list[tuple[int, int]]:
    """Start and end of each token.

    Args:
        weights: CIF weights of the segment's frames, without padding.
        fires: frames at which they fired.
        tokens: how many tokens were recognised.
        frame_ms: duration of a frame of ``weights``.
        length_ms: duration of the segment.
        longest_frames: how long a token may be; what follows until the next fire is silence.

    Returns:
        ``tokens`` pairs of milliseconds from the segment's start; never going back, never outside of it.
    """
    if tokens == 0:
        return []
    if len(fires) != tokens + 1:
        fires = _fit(weights, tokens)
    bounds = [fire + SHIFT_FRAMES for fire in fires][: tokens + 1]
    if len(bounds) < tokens + 1:  # weights that are all but zero: spread the tokens evenly
        bounds = [len(weights) * i / tokens for i in range(tokens + 1)]
    spans = [(start, min(end, start + longest_frames)) for start, end in pairwise(bounds)]
    if bounds[-1] - bounds[-2] <= longest_frames:  # the last token was not cut: it shares what follows with silence
        tail = len(weights) - bounds[-1]
        spans[-1] = (spans[-1][0], len(weights) - tail / 2 if tail > EDGE_FRAMES else float(len(weights)))
    return _in_order([(start * frame_ms, end * frame_ms) for start, end in spans], length_ms)


def _fit(weights: Sequence[float], tokens: int) -> list[int]:
    total = sum(weights)
    if total <= 0:
        return []
    scale = (tokens + 1) / total
    return integrate([weight * scale for weight in weights])


def _in_order(times: list[tuple[float, float]], length_ms: int) -> list[tuple[int, int]]:
    ordered: list[tuple[int, int]] = []
    earliest = 0
    for start, end in times:
        start_ms = min(max(int(start), earliest), length_ms)
        end_ms = min(max(int(end), start_ms), length_ms)
        ordered.append((start_ms, end_ms))
        earliest = end_ms
    return ordered
