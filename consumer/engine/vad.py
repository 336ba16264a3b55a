"""Where somebody speaks: FSMN-VAD for many recordings at once, a minute of each at a time.

The spans are exactly those of FunASR's ``FsmnVADStreaming.inference`` over the whole recording, which adapts to what it
heard once a minute. The mel frames computed on the way are handed on with the spans: spans begin on frames, so a span's
frames are what the recogniser would compute of its samples. All others are forgotten as soon as no span can need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from consumer.engine.endpoint import BLOCK_MS, EndpointDetector, EndpointOptions, Floats, decibels
from consumer.engine.fbank import Fbank
from consumer.engine.features import Features, Stretch
from consumer.engine.fsmn import Fsmn, State
from consumer.engine.samples import FRAME_LENGTH, FRAME_MS, FRAME_SHIFT, Samples, forget
from consumer.errors import ModelUnavailable
from consumer.transcript.types import SAMPLE_RATE

BLOCK_SAMPLES = BLOCK_MS * SAMPLE_RATE // 1000
CUT_FRAMES = FRAME_LENGTH // FRAME_SHIFT
"""Frames that begin in a span, at its end, but do not lie in it."""
_FRAMES_AT_ONCE = {"cpu": 2000}
_MANY_FRAMES_AT_ONCE = 32768
"""A CPU is fastest while what it works on stays in its cache; any other device wants much to do at once."""
_REQUIRED = {"detect_mode": 1, "do_extend": 1, "sample_rate": SAMPLE_RATE, "frame_in_ms": 10, "frame_length_ms": 25}
"""The state machine's options that all models share, and for which alone it was ported."""


class Speech(NamedTuple):
    """A span of speech.

    Attributes:
        start_ms: where it begins in the recording.
        end_ms: where it ends.
        mel: its log mel energies, float32 [frames, 80].
    """

    start_ms: int
    end_ms: int
    mel: torch.Tensor


class VoiceActivityDetector:
    """An FSMN-VAD.

    Args:
        model: FunASR's ``FsmnVADStreaming``, ready for inference.
        frontend: FunASR's frontend of that model.
        device: where the model is.
        max_end_silence_ms: silence that ends a span; None adapts it to the span's length, FunASR's default.

    Raises:
        ModelUnavailable: the model needs something that is not here.
    """

    def __init__(self, model: Any, frontend: Any, device: str, max_end_silence_ms: int | None = None) -> None:
        for name, value in _REQUIRED.items():
            asked = getattr(model.vad_opts, name)
            if asked != value:
                raise ModelUnavailable(
                    f"engine.vad: config.yaml asks for {name} {asked!r}, but only {value!r} can be used here."
                )
        self._device = torch.device(device)
        self.fbank = Fbank(self._device)
        self._features = Features(frontend, self._device)
        self._network = Fsmn(model.encoder)
        self._noise_classes = list(model.vad_opts.sil_pdf_ids)
        self._options = EndpointOptions.of(model.vad_opts)
        self._max_end_silence_ms = max_end_silence_ms
        self._at_once = _FRAMES_AT_ONCE.get(self._device.type, _MANY_FRAMES_AT_ONCE)

    def open(self, samples: Samples) -> SpeechStream:
        """Begin with a recording; its samples may be memory-mapped."""
        return SpeechStream(
            samples,
            EndpointDetector(self._options, self._max_end_silence_ms),
            self._network.begin(),
            self._features.lookahead,
        )

    def detect(self, samples: Samples) -> list[Speech]:
        """All speech in a whole recording."""
        stream = self.open(samples)
        found: list[Speech] = []
        while not stream.done:
            found += self.advance([stream])[0]
        return found

    def advance(self, streams: Sequence[SpeechStream]) -> list[list[Speech]]:
        """Listen to the next block of each recording; the speech that ended in it, of each.

        Each stream may be given once, and none that is done. A stream that an error interrupts cannot be used again.

        Raises:
            torch.OutOfMemoryError: the device has no room.
        """
        if not streams:
            return []
        with torch.inference_mode():
            mels = self.fbank([stream.next_samples() for stream in streams])
            for stream, mel in zip(streams, mels, strict=True):
                stream.extend(mel)
            noises = self._noise(streams)
            return [self._end_points(stream, noise) for stream, noise in zip(streams, noises, strict=True)]

    def _noise(self, streams: Sequence[SpeechStream]) -> list[Floats]:
        """Probability of noise of each stream's new frames; the one point where the device is waited for."""
        counts = [stream.unheard for stream in streams]
        scores = []
        for portion in _portions(counts, self._at_once):
            chosen = [streams[row] for row, _, _ in portion]
            features = self._features([streams[row].stretch(first, count) for row, first, count in portion])
            scored, states = self._network(
                features, [count for _, _, count in portion], [stream.state for stream in chosen]
            )
            for stream, state in zip(chosen, states, strict=True):
                stream.state = state
            scores.append(scored[:, self._noise_classes].sum(dim=1))
        noise = torch.cat(scores).cpu().numpy() if scores else np.empty(0, dtype=np.float32)
        return np.split(noise, np.cumsum(counts[:-1]))

    def _end_points(self, stream: SpeechStream, noise: Floats) -> list[Speech]:
        loudness = stream.loudness() if self._options.loudness_matters else None
        return stream.hear(noise, loudness)


class SpeechStream:
    """One recording on its way through voice activity detection.

    Args:
        samples: all of it.
        endpoints: a state machine of its own.
        state: the network's, before the first frame.
        lookahead: frames that the network must see beyond the one it scores.
    """

    def __init__(self, samples: Samples, endpoints: EndpointDetector, state: State, lookahead: int) -> None:
        self.state = state
        self.done = len(samples) == 0
        """Whether the whole recording was heard."""
        self._samples = samples
        self._endpoints = endpoints
        self._lookahead = lookahead
        self._read = 0  # samples, whole blocks
        self._heard = 0  # frames
        self._mel = torch.empty(0)
        self._mel_from = 0  # frame that ``_mel`` begins with
        self._mel_end = 0  # frame behind it

    @property
    def next_ms(self) -> int:
        """Duration of the next block."""
        return 1000 * min(BLOCK_SAMPLES, max(0, len(self._samples) - self._read)) // SAMPLE_RATE

    @property
    def unheard(self) -> int:
        """How many frames can be scored: the last ones only when the recording ends, since more might follow."""
        return self._mel_end - (0 if self.done else self._lookahead) - self._heard

    def next_samples(self) -> Samples:
        """Go on to the next block; the samples whose frames are new."""
        # As in FunASR, a recording of whole blocks ends with an empty one.
        self._read += BLOCK_SAMPLES
        self.done = self._read > len(self._samples)
        return self._samples[self._mel_end * FRAME_SHIFT : self._read]

    def extend(self, mel: torch.Tensor) -> None:
        """Take up the frames of the block, [frames, 80]."""
        self._mel = torch.cat([self._mel, mel]) if self._mel_end else mel
        self._mel_end += len(mel)

    def stretch(self, first: int, count: int) -> Stretch:
        """What the network reads to score frames of this block, numbered from the first that is new."""
        return Stretch(self._mel, self._heard - self._mel_from + first, count)

    def loudness(self) -> Floats:
        """Decibels of the frames that are new."""
        return decibels(self._samples[self._heard * FRAME_SHIFT :], self.unheard)

    def hear(self, noise: Floats, loudness: Floats | None) -> list[Speech]:
        """Find the speech that ended in the block, given each new frame's probability of noise."""
        if not len(noise):  # less than a frame
            return []
        read = self._heard * FRAME_SHIFT
        self._heard += len(noise)
        forget(self._samples, read, self._heard * FRAME_SHIFT)
        found = []
        for start, end in self._endpoints.hear(noise, self.done, loudness):
            # What is not copied would keep the whole block in memory.
            mel = self._frames(start, max(start + 1, end - CUT_FRAMES)).clone()
            found.append(Speech(start * FRAME_MS, end * FRAME_MS, mel))
        self._forget()
        return found

    def _frames(self, start: int, end: int) -> torch.Tensor:
        return self._mel[start - self._mel_from : end - self._mel_from]

    def _forget(self) -> None:
        """Drop the frames that neither a span nor the network will need."""
        if self.done:
            self._mel, self.state = self._mel[:0].clone(), []
            return
        needed = max(0, min(self._endpoints.earliest, self._heard - self._lookahead))
        self._mel = self._frames(needed, self._mel_end).clone()
        self._mel_from = needed


def _portions(counts: Sequence[int], limit: int) -> Iterator[list[tuple[int, int, int]]]:
    """Cut frames of many recordings into portions of so many, as (recording, first frame, frames)."""
    portion: list[tuple[int, int, int]] = []
    room = limit
    for row, total in enumerate(counts):
        first = 0
        while first < total:
            count = min(room, total - first)
            portion.append((row, first, count))
            first += count
            room -= count
            if not room:
                yield portion
                portion, room = [], limit
    if portion:
        yield portion
