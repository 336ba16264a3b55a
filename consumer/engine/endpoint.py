"""Where speech begins and ends, from the score of every 10 ms frame: FunASR's end-point state machine.

A port of ``funasr/models/fsmn_vad_streaming/model.py`` (``GetFrameState``, ``WindowDetector``, ``DetectOneFrame``) that
finds the same spans. Its rules:

1. A frame is speech when the probability of speech exceeds that of noise by a threshold.
2. Speech begins when a window of the last 20 frames holds 15 frames of it; the span begins a window and a lookback
   before that, but never inside the span before.
3. In a span, the window has the last word: speech stops when it holds no more than 15 frames of speech, and goes on
   when it holds 15 again.
4. A span ends when silence has lasted long enough (a lookahead of it stays in the span), when the span is as long as a
   span may be, or with the recording. The window is then empty again.

FunASR visits every frame; here only those are visited at which something changes, everything between them being found
by array operations. Pure: arrays in, spans out. Frames count from the recording's beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from consumer.engine.samples import FRAME_LENGTH, FRAME_MS, FRAME_SHIFT, Samples

BLOCK_MS = 60_000
"""FunASR hears recorded audio in blocks of a minute, and adapts to what it heard once a block."""
SILENCE_SCHEDULE_MS = ((10_000, 2000), (20_000, 1000), (30_000, 800), (40_000, 600), (50_000, 400), (60_000, 200))
"""Up to how much speech since the last end, which silence ends a span: FunASR's ``DEFAULT_SILENCE_SCHEDULE``."""
SHORTEST_SILENCE_MS = 100
"""What ends a span beyond that schedule."""
ADAPTIVE_THRESHOLD = 0.5
"""By how much speech must exceed noise where the silence adapts; FunASR's value."""
_QUIETEST_DECIBEL = -60.0
_LOUDEST_DECIBEL = 26.1
"""Between these every frame lies: the energy of 400 samples of at most 1, and of none (see `decibels`)."""
_NOISE_UNKNOWN = -99.9
"""A noise level below this is none yet."""

Floats = npt.NDArray[np.floating[Any]]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """A model's parameters of the state machine; the defaults are FunASR's.

    Attributes:
        window_frames: frames in the window.
        speech_frames: of them speech, for speech to begin.
        silence_frames: at most so many of them speech, for speech to stop.
        lookback_frames: how far before the window a span begins.
        lookahead_frames: how much of the closing silence belongs to the span.
        longest_frames: of a span.
        stopping_ms: part of the silence that passes until the window says that speech has stopped.
        end_silence_ms: silence that ends a span, unless it adapts.
        threshold: by how much speech must exceed noise, as probabilities.
        noise_exponent: what the probability of noise is raised to before.
        least_decibel: a quieter frame is no speech.
        least_snr: nor is one that stands out less from the noise, in decibels.
        noise_frames: over how many frames that noise is averaged.
    """

    window_frames: int = 20
    speech_frames: int = 15
    silence_frames: int = 15
    lookback_frames: int = 20
    lookahead_frames: int = 10
    longest_frames: int = 6000
    stopping_ms: int = 150
    end_silence_ms: int = 800
    threshold: float = 0.6
    noise_exponent: float = 1.0
    least_decibel: float = -100.0
    least_snr: float = -100.0
    noise_frames: int = 100

    @classmethod
    def of(cls, options: Any) -> EndpointOptions:
        """From FunASR's ``VADXOptions``."""
        return cls(
            window_frames=int(options.window_size_ms / FRAME_MS),
            speech_frames=int(options.sil_to_speech_time_thres / FRAME_MS),
            silence_frames=int(options.speech_to_sil_time_thres / FRAME_MS),
            lookback_frames=int(options.lookback_time_start_point / FRAME_MS),
            lookahead_frames=int(options.lookahead_time_end_point / FRAME_MS),
            longest_frames=int(options.max_single_segment_time // FRAME_MS),
            stopping_ms=options.speech_to_sil_time_thres,
            end_silence_ms=options.max_end_silence_time,
            threshold=options.speech_noise_thres,
            noise_exponent=options.speech_2_noise_ratio,
            least_decibel=options.decibel_thres,
            least_snr=options.snr_thres,
            noise_frames=options.noise_frame_num_used_for_snr,
        )

    @property
    def loudness_matters(self) -> bool:
        """Whether any frame can be too quiet for these options; with FunASR's own none can."""
        return self.least_decibel > _QUIETEST_DECIBEL or self.least_snr > _QUIETEST_DECIBEL - _LOUDEST_DECIBEL


class EndpointDetector:
    """The end points of one recording.

    Args:
        options: parameters of the model.
        end_silence_ms: silence that ends a span; None adapts it to how long the span already is, FunASR's default.
    """

    def __init__(self, options: EndpointOptions, end_silence_ms: int | None = None) -> None:
        self._options = options
        self._adaptive = end_silence_ms is None
        self._threshold = ADAPTIVE_THRESHOLD if end_silence_ms is None else options.threshold
        self._set_silence(options.end_silence_ms if end_silence_ms is None else end_silence_ms)
        self._speech_ms = 0  # in blocks, for the schedule
        self._noise_decibel = -100.0
        self._frame = 0  # the next one
        self._free_from = 0  # the first that no span holds
        self._start: int | None = None  # of the span that is open
        self._talking = False  # in the open span
        self._silent_from = 0  # otherwise
        self._window = np.zeros(options.window_frames - 1, dtype=np.int64)  # the last frames, 1 where speech

    @property
    def earliest(self) -> int:
        """No span still to come begins before this frame."""
        reach = self._options.window_frames + self._options.lookback_frames
        return max(self._free_from, self._frame - reach, 0) if self._start is None else self._start

    def hear(self, noise: Floats, last: bool, loudness: Floats | None = None) -> list[tuple[int, int]]:
        """Go on by a block.

        Args:
            noise: probability of each frame of the block to be noise, [frames].
            last: whether the recording ends with it; nothing may be heard after that.
            loudness: decibels of each frame, wherever `EndpointOptions.loudness_matters`.

        Returns:
            The spans that ended in the block, as (first frame, frame behind the last).
        """
        if self._adaptive:
            self._adapt()
        spans = self._spans(self._is_speech(noise, loudness), last)
        if spans:
            self._speech_ms = 0
        return spans

    def _adapt(self) -> None:
        """Shorten the silence that ends a span as the span gets longer."""
        # As in FunASR, what counts is whole blocks, from the first that begins inside a span until one in which a span
        # ends, whatever of them is speech.
        if self._start is not None or self._speech_ms:
            self._speech_ms += BLOCK_MS
        fitting = (silence_ms for limit_ms, silence_ms in SILENCE_SCHEDULE_MS if self._speech_ms <= limit_ms)
        self._set_silence(next(fitting, SHORTEST_SILENCE_MS))

    def _set_silence(self, silence_ms: int) -> None:
        """Set how many silent frames end a span, and how many of them it does not hold."""
        wait_ms = silence_ms - self._options.stopping_ms
        if self._adaptive:
            wait_ms = max(wait_ms, 0)
        self._silent_frames = -(-wait_ms // FRAME_MS)
        self._left_out = max(0, int(wait_ms / FRAME_MS) - self._options.lookahead_frames - 1)

    def _is_speech(self, noise: Floats, loudness: Floats | None) -> Booleans:
        noise = noise.astype(np.float64)
        speech: Booleans = 1.0 - noise >= noise**self._options.noise_exponent + self._threshold
        return speech if loudness is None else self._loud_enough(speech, loudness)

    def _loud_enough(self, speech: Booleans, loudness: Floats) -> Booleans:
        """Speech that stands out from the noise, whose level follows the frames that are no speech."""
        loud = speech.copy()
        weight = self._options.noise_frames
        for frame, decibel in enumerate(loudness.tolist()):
            if decibel < self._options.least_decibel:
                loud[frame] = False
            elif speech[frame]:
                loud[frame] = decibel - self._noise_decibel >= self._options.least_snr
            elif self._noise_decibel < _NOISE_UNKNOWN:
                self._noise_decibel = decibel
            else:
                self._noise_decibel = (decibel + self._noise_decibel * (weight - 1)) / weight
        return loud

    def _spans(self, speech: Booleans, last: bool) -> list[tuple[int, int]]:
        """Run the state machine over a block, from change to change."""
        first, end = self._frame, self._frame + len(speech)
        self._frame = end
        window = _Window(self._window, speech, first)
        spans = []
        frame = first
        while frame < end:
            if self._start is None:
                change = window.next_at_least(self._options.speech_frames, frame)
                if change < end:
                    self._begin(change)
                frame = change + 1
                continue
            stop, span_end = self._next_stop(window, frame, end, last)
            frame = stop + 1
            if span_end is not None:
                spans.append((self._start, span_end))
                self._start, self._free_from = None, span_end
                window.clear(frame)
            elif stop < end:
                self._talking = not self._talking
                self._silent_from = frame
        self._window = window.tail
        if last and self._start is not None:  # begun with the very last frame
            spans.append((self._start, end))
        return spans

    def _begin(self, frame: int) -> None:
        """Open the span of speech that was noticed at this frame."""
        reach = self._options.window_frames + self._options.lookback_frames
        self._start = max(self._free_from, frame - reach)
        self._talking = True

    def _next_stop(self, window: _Window, frame: int, end: int, last: bool) -> tuple[int, int | None]:
        """What comes next in the open span, from ``frame`` on.

        Returns:
            The frame where speech stops or goes on or the span ends, or ``end`` if that is not in this block; and the
            frame behind the span if it ends.
        """
        assert self._start is not None
        if self._talking:
            change = window.next_at_most(self._options.silence_frames, frame)
        else:
            change = window.next_at_least(self._options.speech_frames, frame)
        limit = max(frame, self._start + self._options.longest_frames)
        if last:
            limit = min(limit, end - 1)
        stop = min(change, limit, end)
        if not self._talking:
            enough = max(frame, self._silent_from + self._silent_frames - 1)
            if enough <= stop and enough < min(change, end):
                return enough, enough - self._left_out + 1
        return stop, stop + 1 if stop == limit and stop < end else None


class _Window:
    """How many of the last frames are speech, at every frame of a block.

    Args:
        before: the frames before the block, one less than the window is wide; 1 where speech.
        speech: the frames of the block.
        first: number of the block's first frame.
    """

    def __init__(self, before: npt.NDArray[np.int64], speech: Booleans, first: int) -> None:
        self._reach = len(before)
        self._first = first
        self._frames = np.concatenate([before, speech])
        summed = np.concatenate([[0], np.cumsum(self._frames)])
        self._counts = summed[self._reach + 1 :] - summed[: -self._reach - 1]

    def next_at_least(self, count: int, frame: int) -> int:
        """The first frame from ``frame`` on with so much speech in its window; the block's end if there is none."""
        return frame + _first(self._counts[frame - self._first :] >= count)

    def next_at_most(self, count: int, frame: int) -> int:
        """The first frame from ``frame`` on with no more speech than that; the block's end if there is none."""
        return frame + _first(self._counts[frame - self._first :] <= count)

    def clear(self, frame: int) -> None:
        """Forget all speech before ``frame``."""
        at = frame - self._first
        self._frames[: at + self._reach] = 0
        ahead = self._frames[at + self._reach : at + 2 * self._reach]
        self._counts[at : at + self._reach] = np.cumsum(ahead)

    @property
    def tail(self) -> npt.NDArray[np.int64]:
        """The last frames, for the block that follows."""
        return self._frames[len(self._frames) - self._reach :].copy()


def _first(true: Booleans) -> int:
    """Index of the first True; the length if there is none."""
    return int(true.argmax()) if true.any() else len(true)


def decibels(samples: Samples, frames: int) -> Floats:
    """Loudness of the first frames of the samples, float32 [frames]; calculated as FunASR does, to the rounding."""
    if not frames:
        return np.empty(0, dtype=np.float32)
    sound = samples[: (frames - 1) * FRAME_SHIFT + FRAME_LENGTH].astype(np.float32) / np.float32(32768)
    windows = np.lib.stride_tricks.sliding_window_view(sound, FRAME_LENGTH)[::FRAME_SHIFT]
    return np.asarray(10 * np.log10(np.sum(np.square(windows), axis=1) + 0.000001))
