"""Our state machine beside FunASR's own, over the same scores."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from consumer.engine.endpoint import BLOCK_MS, EndpointDetector, EndpointOptions, Floats, decibels
from consumer.engine.quiet import quiet_libraries
from consumer.engine.samples import FRAME_LENGTH, FRAME_SHIFT, Samples

RECORDINGS = 240
Spans = list[tuple[int, int]]


class PassesScoresOn(torch.nn.Module):
    """Stands where FunASR's network stands; what it is given for features are the scores already."""

    def forward(self, feats: torch.Tensor, cache: Any = None) -> torch.Tensor:
        return feats


def scores(random: np.random.Generator, frames: int) -> Floats:
    """Probabilities of noise: stretches of many lengths, sure and unsure, steady and restless."""
    parts: list[Floats] = []
    while sum(map(len, parts)) < frames:
        length = int(random.exponential(random.choice([20.0, 100.0, 400.0, 3000.0]))) + 1
        level = random.choice([0.02, 0.98, 0.2, 0.25, 0.5, float(random.random())])
        parts.append((level + random.normal(0, random.choice([0, 0.05, 0.3]), length)).clip(1e-6, 1 - 1e-6))
    return np.concatenate(parts)[:frames].astype(np.float32)


def sound(random: np.random.Generator, frames: int) -> Samples:
    """Noise of changing loudness, just long enough for the frames."""
    length = (frames - 1) * FRAME_SHIFT + FRAME_LENGTH
    loud = np.repeat(10 ** random.uniform(0, 4, frames + 2), FRAME_SHIFT)[:length]
    samples: Samples = (random.normal(0, 1, length) * loud).clip(-32768, 32767).astype(np.int16)
    return samples


def block_lengths(random: np.random.Generator) -> list[int]:
    """Frames of each block: whole minutes as FunASR cuts them, or anything."""
    if random.random() < 0.25:
        return [5996, *([6000] * random.integers(0, 2)), int(random.choice([2, int(random.integers(2, 6000))]))]
    return [int(length) for length in random.integers(1, 1500, random.integers(1, 4))]


def model_options(random: np.random.Generator) -> dict[str, Any]:
    """Parameters as model folders may set them; half of the time FunASR's own."""
    if random.random() < 0.5:
        return {}
    options: dict[str, Any] = {"max_single_segment_time": int(random.choice([500, 5000, 20000, 60000]))}
    if random.random() < 0.5:
        options |= {
            "snr_thres": float(random.choice([-100, 0, 10])),
            "decibel_thres": float(random.choice([-100, -20, 0])),
        }
    if random.random() < 0.3:
        options |= {
            "window_size_ms": int(random.choice([150, 200, 300])),
            "sil_to_speech_time_thres": int(random.choice([50, 100, 150])),
            "speech_to_sil_time_thres": int(random.choice([0, 50, 150])),
            "lookback_time_start_point": int(random.choice([0, 100, 500])),
            "lookahead_time_end_point": int(random.choice([0, 50, 200])),
            "speech_2_noise_ratio": float(random.choice([0.5, 1, 2])),
        }
    return options


def funasrs(model: Any, noise: list[Floats], samples: Samples, silence_ms: int | None) -> Spans:
    """What ``FsmnVADStreaming.inference`` does with each block, its frontend and network left out."""
    from funasr.models.fsmn_vad_streaming.model import DEFAULT_SILENCE_SCHEDULE  # noqa: PLC0415 - slow import

    cache: dict[str, Any] = {}
    model.init_cache(cache, max_end_silence_time=silence_ms)
    stats, spans, at = cache["stats"], [], 0
    accumulated_ms, in_speech = 0, False
    for number, block in enumerate(noise, 1):
        if silence_ms is None:
            if stats.vad_state_machine.value == 2 or in_speech:
                accumulated_ms, in_speech = accumulated_ms + BLOCK_MS, True
            wait_ms = next(wait for limit, wait in DEFAULT_SILENCE_SCHEDULE if accumulated_ms <= limit)
            stats.max_end_sil_frame_cnt_thresh = max(wait_ms - model.vad_opts.speech_to_sil_time_thres, 0)
            stats.speech_noise_thres = 0.5
        span = slice(at * FRAME_SHIFT, (at + len(block) - 1) * FRAME_SHIFT + FRAME_LENGTH)
        waveform = torch.from_numpy(samples[span].astype(np.float32) / 32768)[None]
        found = model(
            torch.from_numpy(block)[None, :, None], waveform, cache, number == len(noise), is_streaming_input=False
        )
        at += len(block)
        if found:
            spans += [(start // 10, end // 10) for start, end in found[0]]
            accumulated_ms, in_speech = 0, False
    return spans


def ours(options: EndpointOptions, noise: list[Floats], samples: Samples, silence_ms: int | None) -> Spans:
    detector, spans, at = EndpointDetector(options, silence_ms), [], 0
    for number, block in enumerate(noise, 1):
        loudness = decibels(samples[at * FRAME_SHIFT :], len(block)) if options.loudness_matters else None
        spans += detector.hear(block, number == len(noise), loudness)
        at += len(block)
    return spans


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes FunASR's model with given options: ``theirs(max_single_segment_time=5000)``."""
    with quiet_libraries():
        import funasr.models.fsmn_vad_streaming.model as module  # noqa: PLC0415 - slow import

    monkeypatch.setattr(module, "print", lambda *_: None, raising=False)  # it remarks on standard output
    monkeypatch.setitem(module.tables.encoder_classes, "passes scores on", PassesScoresOn)
    return lambda **options: module.FsmnVADStreaming(encoder="passes scores on", **options)


@pytest.mark.parametrize("adaptive", [True, False])
def test_spans_are_funasrs(theirs: Any, adaptive: bool) -> None:
    spans = 0
    for seed in range(RECORDINGS):
        random = np.random.default_rng(seed)
        lengths = block_lengths(random)
        noise = np.split(scores(random, sum(lengths)), list(itertools.accumulate(lengths))[:-1])
        samples = sound(random, sum(lengths))
        silence_ms = None if adaptive else int(random.choice([0, 100, 200, 500, 800, 3000]))
        model = theirs(**model_options(random))
        options = EndpointOptions.of(model.vad_opts)
        expected = funasrs(model, noise, samples, silence_ms)
        assert ours(options, noise, samples, silence_ms) == expected, (seed, options)
        spans += len(expected)
    assert spans > RECORDINGS
