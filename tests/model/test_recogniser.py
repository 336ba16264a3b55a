from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.engine.load import Models, load_models
from consumer.engine.recogniser import Recogniser
from consumer.engine.samples import Samples
from consumer.engine.timestamps import token_times
from consumer.engine.words import group_tokens
from consumer.settings import EngineSettings
from consumer.transcript.types import SAMPLE_RATE, Word
from tests.model.speech import mels_of, waveform

SILENCE = np.zeros(2 * SAMPLE_RATE, dtype=np.int16)


def alone(recogniser: Recogniser, segments: list[Samples]) -> list[tuple[Word, ...]]:
    return [recogniser.recognise([mel], [0])[0] for mel in mels_of(segments)]


def text_of(words: tuple[Word, ...]) -> str:
    return "".join(word.text for word in words)


def assert_same_words(one: tuple[Word, ...], other: tuple[Word, ...]) -> None:
    assert [(w.text, w.start_ms, w.end_ms) for w in one] == [(w.text, w.start_ms, w.end_ms) for w in other]
    assert [w.confidence for w in one] == pytest.approx([w.confidence for w in other], abs=1e-4)


def texts_of_auto_model(model: Any, segments: list[Samples], **options: Any) -> list[str]:
    texts = []
    for segment in segments:
        result = model.generate(waveform(segment).numpy(), **options)
        texts.append(result[0]["text"].replace(" ", "") if result else "")
    return texts


def test_text_equals_auto_models(
    models: Models, segments: list[Samples], auto_model: Callable[[Path], Any], demo_models: Path
) -> None:
    expected = texts_of_auto_model(auto_model(demo_models / "paraformer"), segments)
    assert any(expected)
    assert [text_of(words) for words in alone(models.recogniser, segments)] == expected


def test_words_do_not_depend_on_the_rest_of_the_batch(models: Models, segments: list[Samples]) -> None:
    by_itself = alone(models.recogniser, segments)
    mels = mels_of(segments)
    chance = random.Random(0)
    for _ in range(100):
        chosen = chance.sample(range(len(segments)), min(len(segments), chance.randint(2, 12)))
        batch = models.recogniser.recognise([mels[i] for i in chosen], [0] * len(chosen))
        for i, words in zip(chosen, batch, strict=True):
            assert_same_words(words, by_itself[i])


@settings(max_examples=40, deadline=None)
@given(
    length_ms=st.integers(50, 8000),
    neighbours=st.lists(st.tuples(st.integers(0, 10**6), st.integers(50, 8000)), min_size=1, max_size=6),
    place=st.integers(0, 6),
)
def test_words_do_not_depend_on_any_neighbours_or_lengths(
    models: Models,
    recordings: dict[str, Samples],
    length_ms: int,
    neighbours: list[tuple[int, int]],
    place: int,
) -> None:
    speech = np.concatenate(list(recordings.values()))

    def cut(at: int, length: int) -> Samples:
        begin = at % (len(speech) - 8000 * 16)
        return speech[begin : begin + length * 16]

    segment = cut(length_ms * 7919, length_ms)
    batch = [cut(at, length) for at, length in neighbours]
    place = min(place, len(batch))
    batch.insert(place, segment)
    heard = models.recogniser.recognise(mels_of(batch), [0] * len(batch))
    assert_same_words(heard[place], alone(models.recogniser, [segment])[0])


@pytest.mark.parametrize("silent", [[0], [-1], [0, -1]])
def test_silent_rows_have_no_words_and_disturb_nobody(
    models: Models, segments: list[Samples], silent: list[int]
) -> None:
    batch = segments[:3]
    by_itself = alone(models.recogniser, batch)
    # Digital silence may or may not fire in a given model; a predictor that is told to, does not.
    for at in silent:
        batch.insert(at if at == 0 else len(batch), SILENCE)
    words = models.recogniser.recognise(mels_of(batch), [0] * len(batch))
    heard = words[1 if 0 in silent else 0 :][:3]
    for one, other in zip(heard, by_itself, strict=True):
        assert_same_words(one, other)


@pytest.mark.parametrize("lengths", [[400], [401, 5000], [16000] * 3])
def test_rows_that_fire_nothing_give_no_words(models: Models, lengths: list[int]) -> None:
    bias = models.recogniser._predictor.cif_output.bias
    before = bias.clone()
    noise = [np.random.default_rng(1).integers(-99, 99, length).astype(np.int16) for length in lengths]
    try:
        bias.fill_(-1e4)  # no frame weighs anything now
        assert models.recogniser.recognise(mels_of(noise), [0] * len(noise)) == [()] * len(noise)
    finally:
        bias.copy_(before)


@pytest.mark.parametrize("length", [400, 401, 480, 560, 1600])
def test_very_short_segments_are_survived(models: Models, length: int) -> None:
    noise = np.random.default_rng(0).integers(-999, 999, length).astype(np.int16)
    (words,) = models.recogniser.recognise(mels_of([noise]), [0])
    assert all(word.end_ms <= length / 16 + 10 for word in words)  # spans are whole frames


def test_times_are_of_the_recording_ordered_and_inside_the_segment(models: Models, segments: list[Samples]) -> None:
    starts = [1000 * i for i in range(len(segments))]
    heard = models.recogniser.recognise(mels_of(segments), starts)
    for words, start, samples in zip(heard, starts, segments, strict=True):
        edges = [edge for word in words for edge in (word.start_ms, word.end_ms)]
        assert edges == sorted(edges)
        assert all(start <= edge <= start + len(samples) / 16 for edge in edges)
        assert all(0 < word.confidence <= 1 for word in words)


def test_features_equal_auto_models(
    models: Models, segments: list[Samples], auto_model: Callable[[Path], Any], demo_models: Path
) -> None:
    from funasr.utils.load_utils import extract_fbank  # noqa: PLC0415 - slow import

    frontend = auto_model(demo_models / "paraformer").kwargs["frontend"]
    for samples, features in zip(segments, models.recogniser.features.whole(mels_of(segments)), strict=True):
        expected, _ = extract_fbank([waveform(samples)], frontend=frontend)
        torch.testing.assert_close(features, expected[0], rtol=0, atol=1e-3)


def test_features_of_a_span_equal_auto_models_of_its_samples(
    models: Models, recordings: dict[str, Samples], auto_model: Callable[[Path], Any], demo_models: Path
) -> None:
    from funasr.utils.load_utils import extract_fbank  # noqa: PLC0415 - slow import

    frontend = auto_model(demo_models / "paraformer").kwargs["frontend"]
    for samples in recordings.values():
        spans = models.detector.detect(samples)
        features = models.recogniser.features.whole([span.mel for span in spans])
        for span, ours in zip(spans, features, strict=True):
            expected, _ = extract_fbank([waveform(samples[span.start_ms * 16 : span.end_ms * 16])], frontend=frontend)
            torch.testing.assert_close(ours, expected[0], rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def bicif(bicif_folder: Path, engine_settings: EngineSettings) -> Recogniser:
    return load_models(engine_settings.model_copy(update={"model": str(bicif_folder)})).recogniser


def test_a_folder_with_a_timing_head_gives_auto_models_text_and_times(
    bicif: Recogniser, segments: list[Samples], auto_model: Callable[[Path], Any], bicif_folder: Path
) -> None:
    model = auto_model(bicif_folder)
    compared = 0
    for samples, words in zip(segments, alone(bicif, segments), strict=True):
        (result,) = model.generate(waveform(samples).numpy())
        assert text_of(words) == result["text"].replace(" ", "")
        if len(words) != len(result["timestamp"]):
            continue  # FunASR loses a time here and there
        for word, (start, end) in zip(words, result["timestamp"], strict=True):
            assert abs(word.start_ms - max(0, start)) <= 21  # one frame: FunASR sums in single precision
            assert abs(word.end_ms - min(len(samples) // 16, max(0, end))) <= 21
            compared += 1
    assert compared > 20


def test_a_timing_head_does_not_look_at_the_neighbours(bicif: Recogniser, segments: list[Samples]) -> None:
    for words, by_itself in zip(
        bicif.recognise(mels_of(segments[:8]), [0] * 8), alone(bicif, segments[:8]), strict=True
    ):
        assert_same_words(words, by_itself)


def test_bfloat16_hears_the_same_words_mostly(
    models: Models, recordings: dict[str, Samples], engine_settings: EngineSettings
) -> None:
    coarse = load_models(engine_settings.model_copy(update={"dtype": "bfloat16"}))
    assert coarse.info.dtype == "bfloat16"
    samples = [samples[: 10 * SAMPLE_RATE] for samples in recordings.values()][:4]
    exact = alone(models.recogniser, samples)
    heard = coarse.recogniser.recognise(mels_of(samples), [0] * len(samples))
    assert [bool(words) for words in heard] == [bool(words) for words in exact]


@pytest.mark.usefixtures("models")
def test_words_are_those_of_funasrs_postprocessing() -> None:
    from funasr.utils.postprocess_utils import sentence_postprocess  # noqa: PLC0415 - slow import

    vocabulary = ["我", "们", "7", "0", "a", "b", "c", "ok", "world", "hel@@", "lo", "it's", "<unk>", "</s>"]
    chance = random.Random(0)
    for _ in range(5000):
        tokens = chance.choices(vocabulary[: chance.randint(1, len(vocabulary))], k=chance.randint(0, 12))
        assert [group.text for group in group_tokens(tokens)] == sentence_postprocess(tokens)[1], tokens


@pytest.mark.usefixtures("models")
def test_times_are_those_of_funasrs_rules() -> None:
    from funasr.utils.timestamp_tools import ts_prediction_lfr6_standard  # noqa: PLC0415 - slow import

    chance = random.Random(0)
    for _ in range(300):
        tokens = chance.randint(1, 20)
        gaps = [chance.randint(3, 30) for _ in range(tokens + 1)]
        weights = [0.0] * (sum(gaps) + chance.randint(0, 20))
        fires = []
        at = -1
        for gap in gaps:
            at += gap
            weights[at] = 1.0
            fires.append(at)
        times = token_times(weights, fires, tokens, frame_ms=20, length_ms=len(weights) * 20)
        _, expected = ts_prediction_lfr6_standard(torch.tensor(weights), torch.tensor(weights), ["字"] * tokens)
        for ours, theirs in zip(times, expected, strict=True):
            assert ours == pytest.approx((max(0, theirs[0]), max(0, theirs[1])), abs=1)


@pytest.mark.parametrize("padded", [False, True])
def test_fused_attention_gives_what_funasrs_gives(
    models: Models, auto_model: Callable[[Path], Any], demo_models: Path, *, padded: bool
) -> None:
    theirs, ours = auto_model(demo_models / "paraformer").model, models.recogniser._model
    features = torch.randn(3, 40, theirs.encoder.encoders0[0].in_size, generator=torch.manual_seed(0))
    lengths = torch.tensor([40, 31, 7] if padded else [40, 40, 40])
    with torch.inference_mode():
        expected, _ = theirs.encode(features, lengths)
        hidden, _ = ours.encode(features, lengths)
        scores = [
            model.cal_decoder_with_predictor(expected, lengths, expected[:, :7], torch.tensor([7, 5, 2]))[0]
            for model in (theirs, ours)
        ]
    for row, length in enumerate(lengths):
        torch.testing.assert_close(hidden[row, :length], expected[row, :length], rtol=0, atol=1e-4)
    for row, count in enumerate([7, 5, 2]):
        torch.testing.assert_close(scores[1][row, :count], scores[0][row, :count], rtol=0, atol=1e-4)
