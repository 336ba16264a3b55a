"""What FunASR gets wrong, and what is done here instead. Each test first shows the fault in FunASR itself.

One that fails at its first half tells that FunASR was mended: what guards against the fault here may then go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from consumer.audio.sniff import sniff
from consumer.engine.api import EngineJob
from consumer.engine.batcher import Batcher, Segment
from consumer.engine.cif import integrate_and_fire
from consumer.engine.load import Models, load_models
from consumer.engine.quiet import quiet_libraries
from consumer.engine.samples import Samples
from consumer.engine.work import Work
from consumer.errors import NotMedia
from consumer.settings import EngineSettings
from consumer.transcript.types import SAMPLE_RATE, Recognition, Track
from tests.model.speech import mels_of, waveform


@pytest.fixture
def paraformer(auto_model: Callable[[Path], Any], demo_models: Path) -> Any:
    """FunASR's AutoModel of the recogniser."""
    return auto_model(demo_models / "paraformer")


@contextmanager
def nothing_fires(model: Any) -> Iterator[None]:
    """Make a predictor hear no token in anything."""
    bias = model.predictor.cif_output.bias
    before = bias.detach().clone()
    try:
        bias.data.fill_(-1e4)
        yield
    finally:
        bias.data.copy_(before)


def test_a_last_row_that_fires_nothing_raises_index_error() -> None:
    from funasr.models.paraformer.cif_predictor import cif_v1  # noqa: PLC0415 - slow import

    hidden = torch.ones(2, 8, 4)
    weights = torch.tensor([[0.6] * 8, [0.01] * 8])
    with pytest.raises(IndexError):
        cif_v1(hidden, weights, 1.0)
    assert integrate_and_fire(hidden, weights).counts.tolist() == [4, 0]


def test_token_weights_depend_on_the_neighbours(paraformer: Any, models: Models, segments: list[Samples]) -> None:
    model = paraformer.model
    short, long = sorted(segments, key=len)[len(segments) // 2], max(segments, key=len)
    features = models.recogniser.features.whole(mels_of([short, long]))
    count = len(features[0])
    padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
    with torch.inference_mode():
        together = model.calc_predictor(*model.encode(padded, torch.tensor([count, len(features[1])])))[2]
        alone = model.calc_predictor(*model.encode(features[0][None], torch.tensor([count])))[2]
    assert not torch.allclose(together[0, :count], alone[0, :count], atol=1e-4)

    by_itself = models.recogniser.recognise(mels_of([short]), [0])[0]
    in_company = models.recogniser.recognise(mels_of([short, long]), [0, 0])[0]
    assert [(w.text, w.start_ms, w.end_ms) for w in in_company] == [(w.text, w.start_ms, w.end_ms) for w in by_itself]
    assert [w.confidence for w in in_company] == pytest.approx([w.confidence for w in by_itself], abs=1e-4)


def test_the_bound_of_a_batch_is_exceeded(demo_models: Path) -> None:
    with quiet_libraries():
        from funasr import AutoModel  # noqa: PLC0415 - slow import

        auto = AutoModel(
            model=str(demo_models / "paraformer"),
            vad_model=str(demo_models / "fsmn-vad"),
            device="cpu:0",  # on "cpu" it makes no batches at all
            disable_update=True,
            disable_pbar=True,
            disable_log=True,
        )
    lengths_ms = [2900] * 100 + [30_000]
    ends = np.cumsum(lengths_ms)
    spans = [[int(end) - length, int(end)] for end, length in zip(ends, lengths_ms, strict=True)]
    padded_ms = []

    def inference(data: Any, model: Any = None, **_: Any) -> list[dict[str, Any]]:
        if model is auto.vad_model:
            return [{"key": "recording", "value": spans}]
        padded_ms.append(len(data) * max(len(each) for each in data) / (SAMPLE_RATE / 1000))
        return [{"key": "segment", "text": "好"} for _ in data]

    auto.inference = inference
    auto.inference_with_vad(np.zeros(int(ends[-1]) * SAMPLE_RATE // 1000, dtype=np.float32), batch_size_s=300)
    assert max(padded_ms) > 10 * 300_000

    batcher = Batcher(300_000)
    batcher.add(Segment(length_ms, "recording", 0, index) for index, length_ms in enumerate(lengths_ms))
    while batch := batcher.take():
        assert len(batch) * max(segment.length_ms for segment in batch) <= 300_000


def test_segments_and_results_misalign_when_nothing_is_heard(
    paraformer: Any, models: Models, segments: list[Samples]
) -> None:
    batch = segments[:2]
    with nothing_fires(paraformer.model):
        results = paraformer.inference([waveform(samples) for samples in batch], batch_size=2)
    assert len(results) != len(batch)

    with nothing_fires(models.recogniser._model):
        assert models.recogniser.recognise(mels_of(batch), [0, 0]) == [(), ()]


def test_bytes_that_are_no_audio_come_back_as_text(paraformer: Any) -> None:
    letter = b"Dear sir, this is a letter and no recording. " * 500
    assert paraformer.generate(letter)[0]["text"]

    with pytest.raises(NotMedia):
        sniff(BytesIO(letter))


def test_a_hotword_that_names_a_file_is_opened(
    models: Models, tmp_path: Path, track: Callable[..., Track], recordings: dict[str, Samples]
) -> None:
    from funasr.models.seaco_paraformer.model import SeacoParaformer  # noqa: PLC0415 - slow import

    secret = tmp_path / "secret.txt"
    secret.write_text("password")
    read: list[list[str]] = []
    tokenizer = SimpleNamespace(tokens2ids=read.append)
    SeacoParaformer.generate_hotwords_list(
        SimpleNamespace(sos=1), str(secret), tokenizer=tokenizer, frontend=SimpleNamespace(cmvn_file=None)
    )
    assert read == [["password"]]

    secret.unlink()
    secret.mkdir()  # to open it would fail now
    job = EngineJob((track(next(iter(recordings.values()))),), hotwords=(str(secret), "http://127.0.0.1:9/hotwords"))
    work = Work(models, batch_seconds=30)
    work.begin("recording", job)
    ended = [outcome for _ in range(20) for outcome in work.round()]
    assert isinstance(ended[0].value, Recognition)
    assert "2 hotwords were not used" in ended[0].value.warnings[0]


def test_the_predictor_fails_in_bfloat16(
    paraformer: Any, engine_settings: EngineSettings, segments: list[Samples], models: Models
) -> None:
    features = models.recogniser.features.whole(mels_of(segments[:1]))[0][None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match="dtype"):
        paraformer.model.calc_predictor(*paraformer.model.encode(features, torch.tensor([features.shape[1]])))

    recogniser = load_models(engine_settings.model_copy(update={"dtype": "bfloat16"})).recogniser
    assert len(recogniser.recognise(mels_of(segments[:1]), [0])) == 1


def test_half_precision_which_overflows_cannot_be_asked_for(paraformer: Any) -> None:
    loud = torch.full((1, 4), 70_000.0)
    assert torch.isinf(loud.half()).all()
    assert torch.isfinite(loud.bfloat16()).all()
    assert paraformer.kwargs.get("fp16", False) is False  # but a keyword argument of `generate` turns it on

    with pytest.raises(ValidationError, match="float32"):
        EngineSettings(dtype="float16")
