"""Where somebody speaks: FunASR's FSMN-VAD, a minute at a time.

The spans are exactly those of FunASR's ``FsmnVADStreaming.inference`` over the whole recording: the model, its frontend
and its state machine are run in blocks of the same 60 s, with their state kept between the blocks. Unless a fixed
silence is asked for, the silence that ends a segment depends on how long the segment already is, as there.
"""

from __future__ import annotations

from typing import Any

import torch

from consumer.engine.features import Samples, waveform
from consumer.transcript.types import SAMPLE_RATE

BLOCK_SAMPLES = 60 * SAMPLE_RATE
"""FunASR's own block for recorded audio. Its spans depend on it: end-of-speech silence is adapted once a block."""
SPEECH_NOISE_THRESHOLD = 0.5
"""By how much speech must outweigh noise where the silence adapts; FunASR's value."""
_SAMPLES_PER_MS = SAMPLE_RATE // 1000


class VoiceActivityDetector:
    """An FSMN-VAD on the CPU.

    Args:
        model: FunASR's ``FsmnVADStreaming``, ready for inference.
        frontend: FunASR's frontend of that model.
        max_end_silence_ms: silence that ends a segment; None adapts it to the segment's length, FunASR's default.
    """

    def __init__(self, model: Any, frontend: Any, max_end_silence_ms: int | None = None) -> None:
        self.model = model
        self.frontend = frontend
        self.max_end_silence_ms = max_end_silence_ms

    def open(self, samples: Samples) -> SpeechStream:
        """Begin with a recording; its samples may be memory-mapped."""
        return SpeechStream(self, samples)

    def detect(self, samples: Samples) -> list[tuple[int, int]]:
        """Spans of speech in a whole recording, as (start, end) in milliseconds."""
        stream = self.open(samples)
        spans: list[tuple[int, int]] = []
        while not stream.done:
            spans += stream.advance()
        return spans


class SpeechStream:
    """One recording on its way through voice activity detection. Streams of one detector may be interleaved."""

    def __init__(self, detector: VoiceActivityDetector, samples: Samples) -> None:
        from funasr.models.fsmn_vad_streaming.model import DEFAULT_SILENCE_SCHEDULE  # noqa: PLC0415 - slow import

        self._model = detector.model
        self._frontend = detector.frontend
        self._samples = samples
        self._at = 0
        self._adaptive = detector.max_end_silence_ms is None
        self._schedule: list[tuple[float, int]] = DEFAULT_SILENCE_SCHEDULE
        self._speech_ms = 0
        self._in_speech = False
        self._cache: dict[str, Any] = {}
        self._model.init_cache(self._cache, max_end_silence_time=detector.max_end_silence_ms)
        self.done = len(samples) == 0
        """Whether the whole recording was heard."""

    @property
    def next_ms(self) -> int:
        """Duration of the next block."""
        return min(BLOCK_SAMPLES, max(0, len(self._samples) - self._at)) // _SAMPLES_PER_MS

    def advance(self) -> list[tuple[int, int]]:
        """Listen to the next block; the spans of speech that ended in it, in milliseconds of the recording."""
        block = waveform(self._samples[self._at : self._at + BLOCK_SAMPLES])
        # As in FunASR, a recording of whole blocks ends with an empty one.
        last = self._at + BLOCK_SAMPLES > len(self._samples)
        self._at += BLOCK_SAMPLES
        self.done = last
        if self._adaptive:
            self._adapt()
        with torch.inference_mode():
            found = self._forward(block, last)
        if found:
            self._speech_ms = 0
            self._in_speech = False
        length_ms = len(self._samples) // _SAMPLES_PER_MS
        return [(start, min(end, length_ms)) for start, end in found if start < min(end, length_ms)]

    def _forward(self, block: torch.Tensor, last: bool) -> list[list[int]]:
        features, _ = self._frontend(
            block.unsqueeze(0), [len(block)], cache=self._cache["frontend"], is_final=last, return_waveform=True
        )
        if features.numel() == 0:  # less than a frame
            return []
        spans = self._model(
            feats=features.to(torch.float32),
            waveform=self._cache["frontend"]["aligned_waveforms"],
            cache=self._cache,
            is_final=last,
            is_streaming_input=False,
        )
        return spans[0] if spans else []

    def _adapt(self) -> None:
        """Shorten the silence that ends a segment as the segment gets longer."""
        from funasr.models.fsmn_vad_streaming.model import VadStateMachine  # noqa: PLC0415 - slow import

        stats = self._cache["stats"]
        if self._in_speech or stats.vad_state_machine is VadStateMachine.kVadInStateInSpeechSegment:
            self._speech_ms += BLOCK_SAMPLES // _SAMPLES_PER_MS
            self._in_speech = True
        silence_ms = next(silence for limit, silence in self._schedule if self._speech_ms <= limit)
        stats.max_end_sil_frame_cnt_thresh = max(silence_ms - self._model.vad_opts.speech_to_sil_time_thres, 0)
        stats.speech_noise_thres = SPEECH_NOISE_THRESHOLD
