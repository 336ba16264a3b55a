from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.audio import LONGEST_S, SHORTEST_S, blocks, mixed_seconds, mixed_set, recording, write_track, write_wav
from consumer.transcript.types import SAMPLE_RATE


@given(st.floats(0.1, 600))
def test_the_lengths_of_a_set_sum_to_what_was_asked_for_but_for_a_second(minutes: float) -> None:
    lengths = mixed_seconds(minutes)
    assert minutes * 60 - SHORTEST_S < sum(lengths) <= minutes * 60 + 1e-6
    assert max(lengths) <= LONGEST_S


def test_the_usual_set_goes_from_seconds_to_ten_minutes() -> None:
    lengths = mixed_seconds(16)
    assert (min(lengths), max(lengths), len(lengths)) == (2, 600, 10)


def test_a_set_is_the_same_every_time_and_its_recordings_differ() -> None:
    one, two = mixed_set(0.5), mixed_set(0.5)
    assert [each.name for each in one] == [each.name for each in two]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(one, two, strict=True))
    assert len({each.samples[:SAMPLE_RATE].tobytes() for each in one}) == len(one)
    assert len({each.name for each in one}) == len(one)


@pytest.mark.parametrize("seconds", [2, 7.5, 60])
def test_a_recording_is_exactly_as_long_as_asked(seconds: float) -> None:
    assert len(recording(seconds, seed=1)) == seconds * SAMPLE_RATE


def test_a_recording_is_speech_with_pauses_between_that_are_not_silent() -> None:
    spoken = (np.full(SAMPLE_RATE, 10_000, np.int16),)
    sound = np.concatenate(list(blocks(60, 5, spoken))).astype(float)
    loud = np.abs(sound) > 1000
    assert 0.3 < loud.mean() < 0.9
    assert 1 < sound[~loud].std() < 20


def test_files_hold_what_arrays_hold(tmp_path: Path) -> None:
    samples = recording(5, seed=4)
    track = write_track(tmp_path / "a.pcm", 5, seed=4)
    write_wav(tmp_path / "a.wav", 5, seed=4)
    assert np.array_equal(np.fromfile(track.path, "<i2"), samples)
    assert track.samples == len(samples)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE, 1, 2)
        assert file.readframes(file.getnframes()) == samples.tobytes()


def test_a_recording_of_a_set_can_be_uploaded_or_handed_to_the_engine(tmp_path: Path) -> None:
    (first, *_) = mixed_set(0.2)
    track = first.track(tmp_path)
    assert np.array_equal(np.fromfile(track.path, "<i2"), first.samples)
    with wave.open(io.BytesIO(first.wav())) as file:
        assert file.readframes(file.getnframes()) == first.samples.tobytes()
