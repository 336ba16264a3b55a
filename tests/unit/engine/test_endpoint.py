"""The rules of the state machine. That its spans are FunASR's is shown in tests/model/test_endpoint_parity.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.endpoint import EndpointDetector, EndpointOptions, Floats, decibels

OPTIONS = EndpointOptions()
runs = st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=12)


def noise_of(stretches: list[tuple[bool, int]]) -> Floats:
    """Probability of noise: stretches of speech and of silence, in frames."""
    parts = [np.full(frames, 0.01 if speech else 0.99, dtype=np.float32) for speech, frames in stretches]
    return np.concatenate([np.empty(0, dtype=np.float32), *parts])


def spans_of(noise: Floats, end_silence_ms: int | None = 800, cuts: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    detector = EndpointDetector(OPTIONS, end_silence_ms)
    blocks = np.split(noise, sorted(cuts))
    return [span for at, block in enumerate(blocks, 1) for span in detector.hear(block, last=at == len(blocks))]


def test_a_span_begins_before_the_speech_and_ends_behind_it() -> None:
    # Noticed after 15 frames of speech, 40 frames back; silence is noticed 5 frames in, and 11 frames of it are kept.
    assert spans_of(noise_of([(False, 100), (True, 100), (False, 200)])) == [(74, 216)]


def test_a_pause_that_is_too_short_ends_nothing() -> None:
    talk = [(False, 100), (True, 100), (False, 45), (True, 100), (False, 200)]
    assert len(spans_of(noise_of(talk), 800)) == 1
    assert len(spans_of(noise_of(talk), 400)) == 2


def test_silence_and_short_noises_are_no_speech() -> None:
    assert spans_of(noise_of([(False, 1000)])) == []
    assert spans_of(noise_of([(False, 100), (True, 14), (False, 100)])) == []


def test_speech_at_the_end_is_cut_there() -> None:
    assert spans_of(noise_of([(False, 100), (True, 50)])) == [(74, 150)]
    assert spans_of(noise_of([(False, 100), (True, 15)])) == [(74, 115)]


def test_long_speech_is_cut_without_a_gap() -> None:
    spans = spans_of(noise_of([(True, 14000)]))
    assert [end - start for start, end in spans[:2]] == [6001, 6001]
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]


def test_longer_speech_ends_with_shorter_silence() -> None:
    pause = (False, 90)
    blocks = [noise_of([(False, 3000), (True, 2800), pause, (True, 110)]), noise_of([(True, 1000), pause, (True, 9)])]
    detector = EndpointDetector(OPTIONS)
    assert detector.hear(blocks[0], last=False) == []
    assert len(detector.hear(blocks[1], last=True)) == 1


@given(runs, st.lists(st.integers(0, 2000), max_size=4), st.sampled_from([0, 200, 800, 3000]))
def test_blocks_of_any_length_give_the_same_spans(
    stretches: list[tuple[bool, int]], cuts: list[int], end_silence_ms: int
) -> None:
    noise = noise_of(stretches)
    cuts = [cut for cut in cuts if cut < len(noise)]
    assert spans_of(noise, end_silence_ms, tuple(cuts)) == spans_of(noise, end_silence_ms)


@given(st.lists(st.tuples(runs, st.booleans()), min_size=1, max_size=4))
def test_spans_are_in_order_and_none_begins_before_what_was_promised(
    blocks: list[tuple[list[tuple[bool, int]], bool]],
) -> None:
    detector = EndpointDetector(OPTIONS, None if blocks[0][1] else 500)
    behind = total = 0
    for at, (stretches, _) in enumerate(blocks, 1):
        promised = detector.earliest
        noise = noise_of(stretches)
        total += len(noise)
        for start, end in detector.hear(noise, last=at == len(blocks)):
            assert max(promised, behind) <= start < end <= total
            behind = end


def test_quiet_speech_counts_only_where_the_model_does_not_mind() -> None:
    noise = noise_of([(False, 100), (True, 100), (False, 200)])
    quiet, loud = np.full(400, -50.0), np.concatenate([np.full(100, -50.0), np.full(300, -10.0)])
    for options, loudness, spans in (
        (EndpointOptions(least_decibel=-40), quiet, 0),
        (EndpointOptions(least_decibel=-40), loud, 1),
        (EndpointOptions(least_snr=10), quiet, 0),
        (EndpointOptions(least_snr=10), loud, 1),
    ):
        assert options.loudness_matters
        assert len(EndpointDetector(options, 800).hear(noise, last=True, loudness=loudness)) == spans
    assert not OPTIONS.loudness_matters


def test_decibels_are_of_whole_frames() -> None:
    samples = np.concatenate([np.zeros(400), np.full(400, 16384)]).astype(np.int16)
    assert decibels(samples, 3) == pytest.approx([-60, 10 * np.log10(160 * 0.25), 10 * np.log10(320 * 0.25)], abs=1e-3)
    assert len(decibels(samples, 0)) == 0
