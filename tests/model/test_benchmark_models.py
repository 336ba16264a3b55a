"""The maker of the benchmarks' models, on a size that takes seconds; and what the benchmarks compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.audio import Recording, recording
from benchmarks.calibration import MARKS, TOKENS_A_SECOND, bias_for_mean, bias_for_shares
from benchmarks.gpu import disagreement
from benchmarks.inside import timed_stages, watched_batches
from benchmarks.models import ModelFolders, Size, demo_models, make_punctuation, make_recogniser
from benchmarks.ours import running_engine
from benchmarks.references import FunASR, RawForward, pack, padding_share
from tests.servers.cache import make_once

TINY = Size(
    encoder={"output_size": 32, "attention_heads": 2, "linear_units": 32, "num_blocks": 2, "kernel_size": 11},
    decoder={"attention_heads": 2, "linear_units": 32, "num_blocks": 2, "att_layer_num": 2, "kernel_size": 11},
    vocabulary=300,
    punctuation={
        "input_size": 16,
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 16,
        "num_blocks": 2,
        "kernel_size": 11,
    },
    punctuation_vocabulary=30_000,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelFolders:
    folder = tmp_path_factory.mktemp("models")
    return ModelFolders(
        make_once(folder / "paraformer", lambda path: make_recogniser(path, TINY)),
        demo_models().vad,
        make_once(folder / "ct-transformer", lambda path: make_punctuation(path, TINY)),
    )


def test_a_model_is_the_same_every_time(models: ModelFolders, tmp_path: Path) -> None:
    make_recogniser(tmp_path, TINY)
    one, two = (torch.load(folder / "model.pt", weights_only=True) for folder in (models.recogniser, tmp_path))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    made = make_once(tmp_path / "a", lambda path: (path / "file").touch())
    assert make_once(tmp_path / "a", lambda _: pytest.fail("made twice")) == made
    with pytest.raises(ZeroDivisionError):
        make_once(tmp_path / "b", lambda _: 1 / 0)  # type: ignore[arg-type]
    assert {each.name for each in tmp_path.iterdir()} == {"a", ".a.lock", ".b.lock"}


def test_engine_and_references_hear_as_many_tokens_as_there_are_in_speech(models: ModelFolders, tmp_path: Path) -> None:
    spoken = [Recording(f"{seed}", recording(20, seed)) for seed in range(3)]
    funasr = FunASR(models, "cpu")
    raw = RawForward(funasr, funasr.segments(spoken), batch_seconds=30)
    raw.run()
    assert raw.tokens / raw.seconds == pytest.approx(TOKENS_A_SECOND, rel=0.25)
    with running_engine(models, device="cpu", threads=1) as engine:
        heard = engine.transcribe({each.name: each.track(tmp_path) for each in spoken})
    words = sum(len(span.words) for each in heard.values() for span in each.spans)
    assert words == pytest.approx(raw.tokens, rel=0.15)
    marks = sum(bool(word.mark) for each in heard.values() for span in each.spans for word in span.words)
    assert 0.03 < marks / words < 0.4
    assert len(funasr.generate(spoken)) == len(spoken)
    assert disagreement(heard, heard) == {"recordings": 3, "texts_differ": 0, "time_ms": 0, "confidence": 0}


def test_a_bias_moves_the_mean_of_sigmoids() -> None:
    logits = torch.randn(1000, generator=torch.Generator().manual_seed(1)) * 3
    assert torch.sigmoid(logits + bias_for_mean(logits, 0.27)).mean() == pytest.approx(0.27, abs=1e-4)


def test_a_bias_moves_how_often_each_class_wins() -> None:
    logits = torch.randn(5000, len(MARKS), generator=torch.Generator().manual_seed(1))
    shares = torch.tensor(list(MARKS.values()))
    won = torch.bincount((logits + bias_for_shares(logits, shares)).argmax(dim=1), minlength=len(MARKS)) / 5000
    assert torch.allclose(won, shares, atol=0.02)


@given(st.lists(st.integers(1, 70_000), max_size=60).map(sorted), st.integers(1, 100_000), st.integers(0, 5000))
def test_packed_batches_hold_everything_once_within_the_limit(lengths: list[int], limit: int, costs: int) -> None:
    batches = pack(lengths, limit, costs)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert lengths[batch[-1]] == max(lengths[index] for index in batch)
        assert len(batch) == 1 or lengths[batch[-1]] * len(batch) <= limit


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [([5, 5, 5, 5], [[0, 1, 2, 3]]), ([1, 1, 9, 9], [[0, 1], [2, 3]]), ([9, 10], [[0, 1]]), ([], [])],
)
def test_batches_are_cut_where_that_costs_least(lengths: Sequence[int], expected: list[list[int]]) -> None:
    assert sorted(pack(lengths, limit=20, batch_costs=2)) == expected


def test_padding_is_what_no_row_fills() -> None:
    assert padding_share([[2, 4], [10]]) == pytest.approx(2 / 18)


def test_every_batch_of_the_engine_is_watched(models: ModelFolders, tmp_path: Path) -> None:
    spoken = [Recording(f"{seed}", recording(20, seed)) for seed in range(3)]
    with watched_batches() as batches, running_engine(models, device="cpu", threads=1) as engine:
        batches.clear()
        heard = engine.transcribe({each.name: each.track(tmp_path) for each in spoken})
    assert sum(len(each.lengths) for each in batches) >= sum(len(each.spans) for each in heard.values()) > 0
    assert all(each.seconds > 0 for each in batches)


def test_every_function_that_is_timed_exists() -> None:
    with timed_stages() as clock:
        pass
    assert clock.missing == []
