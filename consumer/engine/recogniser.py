"""Speech to words: a Paraformer's encoder, predictor and decoder, called directly on a padded batch.

``Paraformer`` folders (one CIF predictor) and ``BiCifParaformer`` or ``SeacoParaformer`` folders (a second head that
times the tokens) are understood. A segment's result does not depend on its neighbours in the batch: padding is silenced
before the predictor's convolution looks across a row's end, and the timing head's LSTM runs over packed rows.

A batch takes three steps, so that a GPU is never without work: while it encodes one batch, the host fetches the words
of the batch before and finds speech for the next. The host waits for the device twice a batch, however many segments
it has. Masks are made from lengths that the host knows, or every mask would be a wait.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from consumer.engine.cif import integrate_and_fire
from consumer.engine.device import Download, send
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


class Encoded(NamedTuple):
    """A batch that the encoder has read; on a GPU it may still be at it.

    Attributes:
        hidden: the encoder's output, float32 [batch, frames, channels]; 0 in the padding.
        lengths: frames of each row, int64 [batch], on the host.
        weights: how much of a token is in each frame, [batch, frames and those of the tail]; 0 in the padding.
        tail: frames added behind each row's end, 0 or 1.
    """

    hidden: torch.Tensor
    lengths: torch.Tensor
    weights: torch.Tensor
    tail: int


class Decoding(NamedTuple):
    """A batch whose tokens are decided; on a GPU they may still be on their way.

    Attributes:
        lengths: encoder frames of each row.
        counts: tokens of each row.
        tail: as in `Encoded`.
        results: vocabulary entry and log-probability of each token, then what times them; None when there is no token.
    """

    lengths: list[int]
    counts: list[int]
    tail: int
    results: Download | None


class Timing(NamedTuple):
    """What a segment's tokens are timed by.

    Attributes:
        weights: CIF weights, without padding.
        fires: frames of ``weights`` that fired.
        frame_ms: duration of a frame of ``weights``.
    """

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

        In one go what `encode`, `decode` and `words` do in three; arguments and errors are theirs.
        """
        return self.words(self.decode(self.encode(segments)), [len(mel) for mel in segments], starts_ms)

    def encode(self, segments: Sequence[torch.Tensor]) -> Encoded:
        """Begin with a batch. On a GPU this only queues the work, and the host is free to do something else.

        Args:
            segments: mel frames of each, [frames, 80], at least one, where the model is; one batch, as wide as the
                longest.

        Raises:
            torch.OutOfMemoryError: the device has no room for the batch; nothing was changed.
        """
        with torch.inference_mode():
            features = self.features.whole(segments)
            lengths = torch.tensor([len(frames) for frames in features])
            with self._autocast():
                encoded, _ = self._model.encode(pad_sequence(features, batch_first=True), lengths)
            # What the encoder leaves in the padding would leak into the predictor and into the last token.
            real = send(torch.arange(encoded.shape[1]) < lengths.unsqueeze(1), self._device)
            hidden = encoded.float() * real.unsqueeze(-1)
            weights, tail = self._with_tail(self._weights(hidden, real), lengths)
        return Encoded(hidden, lengths, weights, tail)

    def decode(self, encoded: Encoded) -> Decoding:
        """Go on with a batch: wait until the number of its tokens is known, then queue the rest.

        Raises:
            torch.OutOfMemoryError: the device has no room for the batch; nothing was changed.
        """
        hidden, lengths, weights, tail = encoded
        with torch.inference_mode():
            fired = integrate_and_fire(torch.nn.functional.pad(hidden, (0, 0, 0, tail)), weights)
            rows, counts = lengths.tolist(), fired.counts.tolist()
            if not any(counts):
                return Decoding(rows, counts, tail, None)
            with self._autocast():
                scores, _ = self._model.cal_decoder_with_predictor(hidden, lengths, fired.embeddings, fired.counts)
            best, ids = scores.float().max(dim=-1)
            times = (self._fine_weights(hidden, lengths).double(),) if self._times_finely else (weights, fired.fires)
            return Decoding(rows, counts, tail, Download(ids, best, *times))

    def words(self, decoding: Decoding, frames: Sequence[int], starts_ms: Sequence[int]) -> list[tuple[Word, ...]]:
        """Finish with a batch: the words of each segment; none where nothing was heard.

        Args:
            decoding: the batch.
            frames: mel frames of each segment.
            starts_ms: where each begins in its recording; word times count from there.
        """
        if decoding.results is None:
            return [() for _ in decoding.lengths]
        ids, best, *times = (tensor.tolist() for tensor in decoding.results.wait())
        found = []
        for row, count in enumerate(decoding.counts):
            timing = self._timing(decoding, row, *(tensor[row] for tensor in times))
            length_ms = (frames[row] + CUT_FRAMES) * MEL_FRAME_MS
            found.append(self._words(ids[row][:count], best[row][:count], timing, starts_ms[row], length_ms))
        return found

    def _weights(self, encoded: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """How much of a token is in each frame, [batch, frames]; 0 in the padding."""
        predictor = self._predictor
        hidden = torch.relu(predictor.cif_conv1d(predictor.pad(encoded.transpose(1, 2)))).transpose(1, 2)
        weights = torch.sigmoid(predictor.cif_output(hidden)).squeeze(-1)
        smooth: torch.Tensor = torch.relu(weights * predictor.smooth_factor - predictor.noise_threshold)
        return smooth * real

    def _with_tail(self, weights: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Add the weight that lets an almost complete last token fire, just behind each row's end."""
        threshold = self._predictor.tail_threshold
        if threshold <= 0:
            return weights, 0
        weights = torch.nn.functional.pad(weights, (0, 1))
        behind = send(torch.arange(weights.shape[1]) == lengths.unsqueeze(1), self._device)
        return weights + behind * threshold, 1

    @property
    def _times_finely(self) -> bool:
        """Whether the model has a timing head of its own."""
        return hasattr(self._predictor, "upsample_cnn")

    def _timing(self, decoding: Decoding, row: int, weights: list[float], fires: Sequence[bool] = ()) -> Timing:
        """What one row's tokens are timed by."""
        length = decoding.lengths[row]
        if not self._times_finely:
            length += decoding.tail
            return Timing(weights[:length], [at for at, fire in enumerate(fires[:length]) if fire], FRAME_MS)
        times = self._predictor.upsample_times
        real = weights[: length * times]
        total = sum(real)
        scaled = [weight * decoding.counts[row] / total for weight in real] if total > 0 else real
        return Timing(scaled, integrate(scaled), FRAME_MS / times)

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
                fine, lengths * predictor.upsample_times, batch_first=True, enforce_sorted=False
            )
            fine, _ = pad_packed_sequence(predictor.blstm(packed)[0], batch_first=True, total_length=fine.shape[1])
        weights = torch.sigmoid(predictor.cif_output2(fine)).squeeze(-1)
        smooth: torch.Tensor = torch.relu(weights * predictor.smooth_factor2 - predictor.noise_threshold2)
        return smooth

    def _words(
        self, ids: list[int], log_probabilities: list[float], timing: Timing, start_ms: int, length_ms: int
    ) -> tuple[Word, ...]:
        kept = [i for i, token in enumerate(ids) if token not in self._no_words]
        tokens = self._tokenizer.ids2tokens([ids[i] for i in kept])
        times = token_times(
            timing.weights,
            timing.fires,
            len(kept),
            frame_ms=timing.frame_ms,
            length_ms=length_ms,
            longest_frames=LONGEST_COARSE_FRAMES if timing.frame_ms == FRAME_MS else LONGEST_FRAMES,
        )
        words: list[Word] = []
        earliest = 0
        for group in group_tokens(tokens):
            begin = max(times[group.tokens[0]][0], earliest)
            earliest = max(times[group.tokens[-1]][1], begin)
            mean = sum(log_probabilities[kept[i]] for i in group.tokens) / len(group.tokens)
            words.append(Word(group.text, start_ms + begin, start_ms + earliest, min(1.0, math.exp(mean))))
        return tuple(words)

    def _autocast(self) -> AbstractContextManager[None]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)
