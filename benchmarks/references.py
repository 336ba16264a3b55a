"""What ours is measured against: FunASR's pipeline as it comes, and the recogniser's bare forward pass.

Nothing here uses the engine: models, features and segments are FunASR's own, by way of its ``AutoModel``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.rnn import pad_sequence

from benchmarks.audio import Recording, Samples
from benchmarks.models import ModelFolders
from consumer.engine.quiet import quiet_libraries
from consumer.transcript.types import SAMPLE_RATE

BATCH_SIZE_S = 300
"""``batch_size_s`` of ``AutoModel.generate``; on the CPU it takes one segment at a time whatever this says."""
BATCH_COSTS_MS = 3000
"""What a batch costs beside its frames, as if it were so much longer: reading the weights, for one."""
_SHORTEST = 400
"""Samples of one frame."""


class FunASR:
    """FunASR's pipeline: voice activity detection, recognition, punctuation, one file at a time.

    Args:
        models: their folders.
        device: ``cpu`` or ``cuda:0``.
        bf16: ask AutoModel for bfloat16.
    """

    def __init__(self, models: ModelFolders, device: str, *, bf16: bool = False) -> None:
        with quiet_libraries():
            from funasr import AutoModel  # noqa: PLC0415 - it prints and warns

            self.pipeline: Any = AutoModel(
                model=str(models.recogniser),
                vad_model=str(models.vad),
                punc_model=str(models.punctuation),
                device=device,
                bf16=bf16,
                # Else it would set the threads of all of torch to 4.
                ncpu=torch.get_num_threads(),
                disable_update=True,
                disable_pbar=True,
                disable_log=True,
                log_level="ERROR",
            )

    @property
    def recogniser(self) -> Any:
        """The Paraformer itself."""
        return self.pipeline.model

    @property
    def frontend(self) -> Any:
        """What computes the recogniser's features."""
        return self.pipeline.kwargs["frontend"]

    def generate(self, recordings: Sequence[Recording]) -> list[dict[str, Any]]:
        """Transcribe recordings, one after the other."""
        with quiet_libraries():
            return [
                result
                for each in recordings
                for result in self.pipeline.generate(input=floats(each.samples), batch_size_s=BATCH_SIZE_S)
            ]

    def spans(self, recording: Recording) -> list[tuple[int, int]]:
        """Where somebody speaks in a recording, in milliseconds."""
        with quiet_libraries():
            (found,) = self.pipeline.inference(
                floats(recording.samples), model=self.pipeline.vad_model, kwargs=self.pipeline.vad_kwargs
            )
        return [(start, end) for start, end in found["value"]]

    def segments(self, recordings: Sequence[Recording]) -> list[Samples]:
        """All speech of recordings, cut as the recogniser gets it."""
        per_ms = SAMPLE_RATE // 1000
        return [each.samples[start * per_ms : end * per_ms] for each in recordings for start, end in self.spans(each)]

    def features(self, segment: Samples) -> torch.Tensor:
        """A segment as the recogniser reads it, [frames, 560]."""
        sound = torch.from_numpy(floats(segment))
        sound = torch.nn.functional.pad(sound, (0, max(0, _SHORTEST - len(sound))))
        frames: torch.Tensor = self.frontend(sound.unsqueeze(0), [len(sound)])[0][0]
        return frames


@dataclass(frozen=True, slots=True)
class _Batch:
    features: torch.Tensor
    lengths: torch.Tensor


class RawForward:
    """Encoder, predictor and decoder over packed batches, and nothing else: what no engine around them can beat.

    Features are computed and padded beforehand. FunASR's own predictor and its methods are used as they are.

    Args:
        funasr: whose recogniser to run.
        segments: what to recognise.
        batch_seconds: most audio in a batch, padding included.
        dtype: what encoder and decoder compute in; the predictor computes in float32.
    """

    def __init__(
        self, funasr: FunASR, segments: Sequence[Samples], batch_seconds: float, dtype: torch.dtype = torch.float32
    ) -> None:
        self._model = funasr.recogniser
        self._device = next(self._model.parameters()).device
        self._dtype = dtype
        segments = sorted(segments, key=len)
        self.lengths_ms = [1000 * len(each) // SAMPLE_RATE for each in segments]
        self._batches = [
            self._batch([funasr.features(segments[index]) for index in batch])
            for batch in pack(self.lengths_ms, int(batch_seconds * 1000))
        ]
        self.tokens = 0
        """Heard in the last pass."""

    @property
    def seconds(self) -> float:
        """Speech in a pass."""
        return sum(self.lengths_ms) / 1000

    @property
    def segments_a_batch(self) -> float:
        """How many, on average."""
        return len(self.lengths_ms) / len(self._batches)

    @property
    def padding(self) -> float:
        """Share of the frames that are padding."""
        return padding_share([each.lengths.tolist() for each in self._batches])

    @torch.inference_mode()
    def run(self) -> None:
        """One pass over everything."""
        counts = [self._forward(batch) for batch in self._batches]
        self.tokens = int(torch.stack(counts).sum())  # also waits for the device

    def _batch(self, features: Sequence[torch.Tensor]) -> _Batch:
        return _Batch(
            pad_sequence(list(features), batch_first=True).to(self._device),
            torch.tensor([len(each) for each in features], device=self._device),
        )

    def _forward(self, batch: _Batch) -> torch.Tensor:
        with self._autocast():
            encoded, lengths = self._model.encode(batch.features, batch.lengths)
        encoded = encoded.float()
        embeddings, counts, _, _ = self._model.calc_predictor(encoded, lengths)
        counts = counts.round().long()
        with self._autocast():
            self._model.cal_decoder_with_predictor(encoded, lengths, embeddings, counts)
        total: torch.Tensor = counts.sum()
        return total

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)


def pack(lengths: Sequence[int], limit: int, batch_costs: int = BATCH_COSTS_MS) -> list[list[int]]:
    """Indices of lengths in the batches that cost least, where a batch costs ``longest × number``, and a little more.

    The last of each batch is its longest: FunASR's predictor fails where the last row of a batch fires nothing.

    Args:
        lengths: ascending.
        limit: most of ``longest × number`` in a batch; what is longer alone is a batch by itself.
        batch_costs: the little more.
    """
    least = [0]  # of the first so many
    begins = [0]  # where the last batch of those begins
    for end in range(1, len(lengths) + 1):
        longest = lengths[end - 1]
        first = max(0, end - max(1, limit // max(1, longest)))
        cost, begin = min((least[at] + longest * (end - at) + batch_costs, at) for at in range(first, end))
        least.append(cost)
        begins.append(begin)
    batches: list[list[int]] = []
    end = len(lengths)
    while end:
        batches.append(list(range(begins[end], end)))
        end = begins[end]
    return batches


def padding_share(batches: Sequence[Sequence[int]]) -> float:
    """Share of padded batches that is padding, from the lengths of their rows."""
    padded = sum(max(batch) * len(batch) for batch in batches)
    return 1 - sum(map(sum, batches)) / padded


def floats(samples: Samples) -> npt.NDArray[np.float32]:
    """Samples as FunASR takes them."""
    return samples.astype(np.float32) / np.float32(32768)
