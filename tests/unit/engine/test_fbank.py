from __future__ import annotations

import kaldi_native_fbank as knf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.engine.fbank import Fbank
from consumer.engine.samples import Samples, count_frames

KINDS = ("noise", "whisper", "tone", "steps", "constant", "drifting", "full scale", "clicks")


# Single precision shows, in Kaldi's figures as in ours, in bins that hold a millionth of a pure tone's energy.
TOLERANCE = 1e-3
TOLERANCE_OF_TONES = 5e-3


def kaldis(samples: Samples) -> torch.Tensor:
    """The same by kaldi-native-fbank, with the options FunASR gives it."""
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hamming"
    options.mel_opts.num_bins = 80
    options.energy_floor = 0.0
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(16000, samples.astype(np.float32))
    bank.input_finished()
    frames = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
    return torch.from_numpy(np.stack(frames)) if frames else torch.empty(0, 80)


def sound(kind: str, length: int, seed: int) -> Samples:
    random = np.random.default_rng(seed)
    at = np.arange(length)
    made = {
        "noise": random.normal(0, 2000, length),
        "whisper": random.normal(0, 1, length),
        "tone": 20000 * np.sin(at * random.uniform(0.01, 3)),
        "steps": np.where(at // 100 % 2, 32767, -32768),
        "constant": np.full(length, random.integers(-32768, 32768)),
        "drifting": random.normal(0, 30, length) + 25000 * np.sin(at / 30000),
        "full scale": random.integers(-32768, 32768, length),
        "clicks": 30000 * (at % 4001 == 0),
    }[kind]
    samples: Samples = made.clip(-32768, 32767).astype(np.int16)
    return samples


pieces = st.builds(
    sound, st.sampled_from([kind for kind in KINDS if kind != "tone"]), st.integers(0, 5000), st.integers(0, 2**32 - 1)
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@settings(max_examples=60)
@given(st.lists(pieces, max_size=6))
def test_energies_of_any_pieces_are_kaldis(several: list[Samples]) -> None:
    for samples, mel in zip(several, Fbank(torch.device("cpu"))(several), strict=True):
        assert mel.shape == (count_frames(len(samples)), 80)
        torch.testing.assert_close(mel, kaldis(samples), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_energies_of_many_frames_are_kaldis(kind: str) -> None:
    samples = sound(kind, 200_000, 1)
    (mel,) = Fbank(torch.device("cpu"))([samples])
    tolerance = TOLERANCE_OF_TONES if kind == "tone" else TOLERANCE
    torch.testing.assert_close(mel, kaldis(samples), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    assert count_frames(samples) == frames
    assert len(Fbank(torch.device("cpu"))([np.zeros(samples, dtype=np.int16)])[0]) == frames


def test_nothing_gives_nothing() -> None:
    assert Fbank(torch.device("cpu"))([]) == []


def test_digital_silence_has_the_least_energy() -> None:
    (mel,) = Fbank(torch.device("cpu"))([np.zeros(1600, dtype=np.int16)])
    assert torch.equal(mel, torch.full_like(mel, np.log(np.finfo(np.float32).eps)))
