from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumer.engine.features import Samples, waveform
from consumer.engine.load import Models, load_models
from consumer.engine.vad import VoiceActivityDetector
from consumer.settings import EngineSettings
from consumer.transcript.types import SAMPLE_RATE

MEETING = [
    (70, 59970),
    (59970, 60950),
    (60950, 62250),
    (62250, 62860),
    (62860, 63680),
    (63690, 67040),
    (67040, 70450),
]


@pytest.fixture(scope="module")
def real(real_data: Path, engine_settings: EngineSettings) -> VoiceActivityDetector:
    """The real FSMN-VAD weights in our code."""
    return load_models(engine_settings.model_copy(update={"vad": str(real_data / "fsmn-vad")})).detector


@pytest.mark.parametrize(
    ("name", "silence_ms", "spans"),
    [
        ("sample.wav", None, [(770, 5980)]),
        ("sample.wav", 800, [(770, 2400), (3380, 5980)]),
        ("asr_example.wav", None, [(610, 5530)]),
        ("vad_example.wav", None, MEETING),
    ],
)
def test_real_weights_on_real_speech(
    real: VoiceActivityDetector,
    recordings: dict[str, Samples],
    name: str,
    silence_ms: int | None,
    spans: list[tuple[int, int]],
) -> None:
    detector = VoiceActivityDetector(real.model, real.frontend, silence_ms)
    assert detector.detect(recordings[name]) == spans


def patchwork(recordings: dict[str, Samples], seed: int, seconds: float) -> Samples:
    """Speech, silence and noise in turns."""
    random = np.random.default_rng(seed)
    parts: list[Samples] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE:
        speech = list(recordings.values())[random.integers(len(recordings))]
        begin = random.integers(len(speech))
        parts += [
            speech[begin : begin + random.integers(4 * SAMPLE_RATE)],
            random.normal(0, random.choice([0, 3, 100]), random.integers(3 * SAMPLE_RATE)).astype(np.int16),
        ]
    return np.concatenate(parts)[: int(seconds * SAMPLE_RATE)]


@pytest.mark.parametrize("seconds", [0.5, 7, 60, 61.3, 120, 150])
@pytest.mark.parametrize("fixed_ms", [None, 500])
def test_spans_equal_auto_models(
    models: Models,
    recordings: dict[str, Samples],
    auto_model: Callable[[Path], Any],
    engine_settings: EngineSettings,
    seconds: float,
    fixed_ms: int | None,
) -> None:
    options = {} if fixed_ms is None else {"max_end_silence_time": fixed_ms}
    detector = VoiceActivityDetector(models.detector.model, models.detector.frontend, fixed_ms)
    samples = patchwork(recordings, int(seconds * 10), seconds)
    theirs = auto_model(Path(engine_settings.vad)).generate(waveform(samples).numpy(), **options)[0]["value"]
    length_ms = len(samples) // 16
    assert detector.detect(samples) == [(start, min(end, length_ms)) for start, end in theirs]


def test_interleaved_recordings_do_not_disturb_each_other(models: Models, recordings: dict[str, Samples]) -> None:
    several = [patchwork(recordings, seed, 130) for seed in range(3)]
    by_themselves = [models.detector.detect(samples) for samples in several]
    streams = [models.detector.open(samples) for samples in several]
    interleaved: list[list[tuple[int, int]]] = [[] for _ in several]
    while not all(stream.done for stream in streams):
        for at, stream in enumerate(streams):
            if not stream.done:
                interleaved[at] += stream.advance()
    assert interleaved == by_themselves


@pytest.mark.parametrize("length", [0, 1, 159, 160, 399, 400, 560, 60 * SAMPLE_RATE])
@pytest.mark.parametrize("real_weights", [False, True])
def test_silence_of_any_length_has_no_spans(
    models: Models, request: pytest.FixtureRequest, length: int, real_weights: bool
) -> None:
    detector: VoiceActivityDetector = request.getfixturevalue("real") if real_weights else models.detector
    assert detector.detect(np.zeros(length, dtype=np.int16)) == []


def test_spans_stay_inside_the_recording(models: Models, recordings: dict[str, Samples]) -> None:
    for samples in recordings.values():
        for length in (SAMPLE_RATE, 2 * SAMPLE_RATE + 77):
            spans = models.detector.detect(samples[-length:])
            assert all(0 <= start < end <= length // 16 for start, end in spans)
