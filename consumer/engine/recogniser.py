"""Speech to words: a Paraformer's encoder, predictor and decoder, called directly on a padded batch.

``Paraformer`` folders (one CIF predictor) and ``BiCifParaformer`` or ``SeacoParaformer`` folders (a second head that
times the tokens) are understood. A segment's result does not depend on its neighbours in the batch: padding is silenced
before the predictor's convolution looks across a row's end, and the timing head's LSTM runs over packed rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from consumer.engine.cif import Fired, integrate_and_fire
from consumer.engine.features import Features
from consumer.engine.samples import FRAME_MS as MEL_FRAME_MS
from consumer.engine.timestamps import LONGEST_COARSE_FRAMES, LONGEST_FRAMES, integrate, token_times
from consumer.engine.vad import CUT_FRAMES
from consumer.engine.words import group_tokens
from consumer.transcript.types import Word

FEATURE_FRAMES = 6
"""Mel frames from one feature to the next (``lfr_n``)."""
FRAME_MS = FEATURE_FRAMES * MEL_FRAME_MS
"""An encoder frame."""
CLASSES = ("Paraformer", "BiCifParaformer", "SeacoParaformer")
"""FunASR's model classes this recogniser can run."""


class Decoded(NamedTuple):
    """A segment's tokens.

    Attributes:
        ids: vocabulary entries, sentence marks included.
        log_probabilities: of each.
        weights: CIF weights to time them by, without padding.
        fires: frames of ``weights`` that fired; none where the weights have to be fitted first.
        frame_ms: duration of a frame of ``weights``.
    """

    ids: list[int]
    log_probabilities: list[float]
    weights: list[float]
    fires: list[int]
    frame_ms: float


class Recogniser:
    """A Paraformer.

    Args:
        model: FunASR's model of one of `CLASSES`, ready for inference.
        tokenizer: FunASR's tokenizer of that model.
        frontend: FunASR's ``WavFrontend`` of that model.
        device: where the model is.
        dtype: what encoder and decoder compute in; the predictor always computes in float32.
    """

    def __init__(self, model: Any, tokenizer: Any, frontend: Any, device: str, dtype: torch.dtype) -> None:
        self._model = model
        self._predictor = model.predictor
        self._tokenizer = tokenizer
        self._device = torch.device(device)
        self.features = Features(frontend, self._device)
        self._dtype = dtype
        self._no_words = {model.blank_id, model.sos, model.eos}

    def recognise(self, segments: Sequence[torch.Tensor], starts_ms: Sequence[int]) -> list[tuple[Word, ...]]:
        """The words of each segment; none where nothing was heard.

        Args:
            segments: mel frames of each, [frames, 80], at least one, where the model is; one batch, as wide as the
                longest.
            starts_ms: where each begins in its recording; word times count from there.

        Raises:
            torch.OutOfMemoryError: the device has no room for the batch; nothing was changed.
        """
        with torch.inference_mode():
            decoded = self._decode(self.features.whole(segments))
        return [
            self._words(one, start_ms, (len(mel) + CUT_FRAMES) * MEL_FRAME_MS)
            for one, mel, start_ms in zip(decoded, segments, starts_ms, strict=True)
        ]

    def _decode(self, features: list[torch.Tensor]) -> list[Decoded]:
        lengths = torch.tensor([len(frames) for frames in features], device=self._device)
        speech = pad_sequence(features, batch_first=True)
        with self._autocast():
            encoded, lengths = self._model.encode(speech, lengths)
        # What the encoder leaves in the padding would leak into the predictor and into the last token.
        real = torch.arange(encoded.shape[1], device=self._device) < lengths.unsqueeze(1)
        encoded = encoded.float() * real.unsqueeze(-1)
        weights = self._weights(encoded, real)
        tail_weights, tail = _with_tail(weights, lengths, self._predictor.tail_threshold)
        fired = integrate_and_fire(torch.nn.functional.pad(encoded, (0, 0, 0, tail)), tail_weights)
        if fired.embeddings.shape[1] == 0:
            return [Decoded([], [], [], [], FRAME_MS) for _ in features]
        with self._autocast():
            scores, _ = self._model.cal_decoder_with_predictor(encoded, lengths, fired.embeddings, fired.counts)
        best, ids = scores.float().max(dim=-1)
        times = self._times(encoded, lengths, tail_weights, tail, fired)
        counts = fired.counts.tolist()
        return [
            Decoded(row_ids[:count], row_best[:count], *row_times)
            for row_ids, row_best, count, row_times in zip(ids.tolist(), best.tolist(), counts, times, strict=True)
        ]

    def _weights(self, encoded: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """How much of a token is in each frame, [batch, frames]; 0 in the padding."""
        predictor = self._predictor
        hidden = torch.relu(predictor.cif_conv1d(predictor.pad(encoded.transpose(1, 2)))).transpose(1, 2)
        weights = torch.sigmoid(predictor.cif_output(hidden)).squeeze(-1)
        smooth: torch.Tensor = torch.relu(weights * predictor.smooth_factor - predictor.noise_threshold)
        return smooth * real

    def _times(
        self, encoded: torch.Tensor, lengths: torch.Tensor, weights: torch.Tensor, tail: int, fired: Fired
    ) -> list[tuple[list[float], list[int], float]]:
        """Weights, fires and frame duration to time each row's tokens by."""
        rows = lengths.tolist()
        if not hasattr(self._predictor, "upsample_cnn"):
            fires = fired.fires.tolist()
            return [
                (row[: length + tail], [i for i, fire in enumerate(row_fires[: length + tail]) if fire], FRAME_MS)
                for row, row_fires, length in zip(weights.tolist(), fires, rows, strict=True)
            ]
        times = self._predictor.upsample_times
        result = []
        fine = self._fine_weights(encoded, lengths).double().tolist()
        for row, count, length in zip(fine, fired.counts.tolist(), rows, strict=True):
            real = row[: length * times]
            total = sum(real)
            scaled = [weight * count / total for weight in real] if total > 0 else real
            result.append((scaled, integrate(scaled), FRAME_MS / times))
        return result

    def _fine_weights(self, encoded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Weights of BiCif's timing head, at ``upsample_times`` the frame rate."""
        predictor = self._predictor
        hidden = encoded.transpose(1, 2)
        if predictor.use_cif1_cnn:
            hidden = torch.relu(predictor.cif_conv1d(predictor.pad(hidden)))
        fine = predictor.upsample_cnn(hidden).transpose(1, 2)
        if predictor.upsample_type == "cnn_blstm":
            # Packed, or the backward direction would begin in the padding.
            packed = pack_padded_sequence(
                fine, (lengths * predictor.upsample_times).cpu(), batch_first=True, enforce_sorted=False
            )
            fine, _ = pad_packed_sequence(predictor.blstm(packed)[0], batch_first=True, total_length=fine.shape[1])
        weights = torch.sigmoid(predictor.cif_output2(fine)).squeeze(-1)
        smooth: torch.Tensor = torch.relu(weights * predictor.smooth_factor2 - predictor.noise_threshold2)
        return smooth

    def _words(self, decoded: Decoded, start_ms: int, length_ms: int) -> tuple[Word, ...]:
        kept = [i for i, token in enumerate(decoded.ids) if token not in self._no_words]
        tokens = self._tokenizer.ids2tokens([decoded.ids[i] for i in kept])
        longest = LONGEST_COARSE_FRAMES if decoded.frame_ms == FRAME_MS else LONGEST_FRAMES
        times = token_times(
            decoded.weights,
            decoded.fires,
            len(kept),
            frame_ms=decoded.frame_ms,
            length_ms=length_ms,
            longest_frames=longest,
        )
        words: list[Word] = []
        earliest = 0
        for group in group_tokens(tokens):
            begin = max(times[group.tokens[0]][0], earliest)
            earliest = max(times[group.tokens[-1]][1], begin)
            mean = sum(decoded.log_probabilities[kept[i]] for i in group.tokens) / len(group.tokens)
            words.append(Word(group.text, start_ms + begin, start_ms + earliest, min(1.0, math.exp(mean))))
        return tuple(words)

    def _autocast(self) -> AbstractContextManager[None]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)


def _with_tail(weights: torch.Tensor, lengths: torch.Tensor, threshold: float) -> tuple[torch.Tensor, int]:
    """Add the weight that lets an almost complete last token fire, just behind each row's end."""
    if threshold <= 0:
        return weights, 0
    weights = torch.nn.functional.pad(weights, (0, 1))
    behind = torch.arange(weights.shape[1], device=weights.device) == lengths.unsqueeze(1)
    return weights + behind * threshold, 1
