from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from consumer.engine.load import Models, load_models
from consumer.engine.samples import FRAME_LENGTH, FRAME_SHIFT, Samples
from consumer.engine.vad import CUT_FRAMES, Speech, VoiceActivityDetector
from consumer.settings import EngineSettings
from consumer.transcript.types import SAMPLE_RATE
from tests.model.speech import mels_of, patchwork, waveform

Spans = list[tuple[int, int]]
AutoModels = Callable[[Path], Any]
MEETING = [
    (70, 59970),
    (59970, 60950),
    (60950, 62250),
    (62250, 62860),
    (62860, 63680),
    (63690, 67040),
    (67040, 70450),
]


def spans_of(speech: list[Speech]) -> Spans:
    return [(span.start_ms, span.end_ms) for span in speech]


def fixed(model: Any, silence_ms: int | None) -> VoiceActivityDetector:
    """Our detector on the weights of FunASR's."""
    return VoiceActivityDetector(model.model, model.kwargs["frontend"], "cpu", silence_ms)


def funasrs_spans(model: Any, samples: Samples, silence_ms: int | None) -> Spans:
    if len(samples) < FRAME_LENGTH:
        return []  # FunASR divides by zero
    options = {} if silence_ms is None else {"max_end_silence_time": silence_ms}
    return [(start, end) for start, end in model.generate(waveform(samples).numpy(), **options)[0]["value"]]


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
    real_data: Path,
    auto_model: AutoModels,
    recordings: dict[str, Samples],
    name: str,
    silence_ms: int | None,
    spans: Spans,
) -> None:
    detector = fixed(auto_model(real_data / "fsmn-vad"), silence_ms)
    assert spans_of(detector.detect(recordings[name])) == spans


@pytest.mark.parametrize("seconds", [0.5, 7, 60, 61.3, 120, 150])
@pytest.mark.parametrize("silence_ms", [None, 500])
def test_spans_equal_auto_models(
    recordings: dict[str, Samples],
    auto_model: AutoModels,
    engine_settings: EngineSettings,
    seconds: float,
    silence_ms: int | None,
) -> None:
    model = auto_model(Path(engine_settings.vad))
    samples = patchwork(recordings, int(seconds * 10), seconds)
    assert spans_of(fixed(model, silence_ms).detect(samples)) == funasrs_spans(model, samples, silence_ms)


def synthetic(recordings: dict[str, Samples], seed: int) -> Samples:
    """Sound of any kind and length: bursts of noise, tones, speech, speech in noise, silence of several kinds."""
    random = np.random.default_rng(seed)
    seconds = float(random.choice([0, 0.02, 0.3, 1, 5, 15, 30])) + float(random.uniform(0, 5)) * (seed % 3 > 0)
    length = int(seconds * SAMPLE_RATE)
    spoken = patchwork(recordings, seed, seconds).astype(np.float64)
    at = np.arange(length)
    loud = np.repeat(10 ** random.uniform(0, 4, length // 4000 + 1), 4000)[:length]
    kinds = [
        spoken,
        spoken * random.uniform(0.01, 3),
        spoken + random.normal(0, random.choice([10, 300, 3000]), length),
        random.normal(0, 1, length) * loud,
        random.normal(0, 1, length) * loud * (np.sin(at / random.integers(3000, 90000)) > 0),
        loud * np.sin(at * random.uniform(0.05, 1.5)),
        spoken + random.choice([-8, 500, 20000]),
        np.full(length, random.choice([0, 1, -7, 12000])),
    ]
    samples: Samples = kinds[seed % len(kinds)].clip(-32768, 32767).astype(np.int16)
    return samples


@pytest.mark.parametrize("weights", ["demo", "real"])
@pytest.mark.parametrize("silence_ms", [None, 300])
def test_spans_of_synthetic_recordings_equal_auto_models(
    recordings: dict[str, Samples],
    auto_model: AutoModels,
    engine_settings: EngineSettings,
    request: pytest.FixtureRequest,
    weights: str,
    silence_ms: int | None,
) -> None:
    folder = Path(engine_settings.vad) if weights == "demo" else request.getfixturevalue("real_data") / "fsmn-vad"
    model = auto_model(folder)
    detector = fixed(model, silence_ms)
    several = [synthetic(recordings, seed) for seed in range(64)]
    several += [patchwork(recordings, 64, 120), patchwork(recordings, 65, 190)]
    streams = [detector.open(samples) for samples in several]
    found: list[Spans] = [[] for _ in several]
    while going := [at for at, stream in enumerate(streams) if not stream.done]:
        for at, speech in zip(going, detector.advance([streams[at] for at in going]), strict=True):
            found[at] += spans_of(speech)
    assert found == [funasrs_spans(model, samples, silence_ms) for samples in several]
    assert sum(map(len, found)) > 60


def test_recordings_heard_together_do_not_disturb_each_other(models: Models, recordings: dict[str, Samples]) -> None:
    detector = models.detector
    several = [patchwork(recordings, seed, seconds) for seed, seconds in enumerate((130, 0.01, 3, 61, 60, 0, 190))]
    by_themselves = [detector.detect(samples) for samples in several]
    streams = [detector.open(samples) for samples in several]
    together: list[list[Speech]] = [[] for _ in several]
    while going := [at for at, stream in enumerate(streams) if not stream.done]:
        for at, speech in zip(going, detector.advance([streams[at] for at in going]), strict=True):
            together[at] += speech
    for one, other in zip(together, by_themselves, strict=True):
        assert spans_of(one) == spans_of(other)
        for span, same in zip(one, other, strict=True):
            torch.testing.assert_close(span.mel, same.mel, rtol=0, atol=1e-3)


def test_a_span_brings_the_frames_of_its_samples(models: Models, recordings: dict[str, Samples]) -> None:
    samples = patchwork(recordings, 3, 150)
    spans = models.detector.detect(samples)
    assert any(start // 60_000 < end // 60_000 for start, end in spans_of(spans)), "one that goes on over two blocks"
    expected = mels_of([samples[span.start_ms * 16 : span.end_ms * 16] for span in spans])
    for span, mel in zip(spans, expected, strict=True):
        assert len(span.mel) == (span.end_ms - span.start_ms) // 10 - CUT_FRAMES
        torch.testing.assert_close(span.mel, mel, rtol=0, atol=1e-3)


def test_no_frames_are_kept_but_those_of_an_open_span(models: Models, recordings: dict[str, Samples]) -> None:
    silence = models.detector.open(np.zeros(300 * SAMPLE_RATE, dtype=np.int16))
    talk = models.detector.open(np.resize(max(recordings.values(), key=len), 300 * SAMPLE_RATE))
    while not silence.done:
        for speech in models.detector.advance([silence, talk])[1]:
            assert speech.mel.untyped_storage().nbytes() == speech.mel.nbytes
        for stream, most in ((silence, 50), (talk, 6050)):
            assert len(stream._mel) <= most
            assert stream._mel.untyped_storage().nbytes() == stream._mel.nbytes


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
            spans = spans_of(models.detector.detect(samples[-length:]))
            assert all(0 <= start < end <= length // 16 for start, end in spans)


def test_what_is_done_is_told(models: Models) -> None:
    assert models.detector.advance([]) == []
    assert models.detector.open(np.empty(0, dtype=np.int16)).done
    stream = models.detector.open(np.zeros(70 * SAMPLE_RATE + FRAME_SHIFT, dtype=np.int16))
    assert stream.next_ms == 60_000
    models.detector.advance([stream])
    assert (stream.next_ms, stream.done) == (10_010, False)
    models.detector.advance([stream])
    assert (stream.next_ms, stream.done) == (0, True)
