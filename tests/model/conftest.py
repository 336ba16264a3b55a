"""What the tests of the models share: loaded once, and speech to feed them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from consumer.demo.assets import SAMPLES
from consumer.demo.samples import load_samples
from consumer.engine.load import Models, load_models
from consumer.engine.quiet import quiet_libraries
from consumer.engine.samples import FRAME_SHIFT, Samples
from consumer.settings import EngineSettings
from consumer.transcript.types import SAMPLE_RATE, Track


def decode(path: Path) -> Samples:
    """A recording as the models need it."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


@pytest.fixture(scope="session")
def engine_settings(demo_models: Path) -> EngineSettings:
    return EngineSettings(
        model=str(demo_models / "paraformer"),
        vad=str(demo_models / "fsmn-vad"),
        punctuation=str(demo_models / "ct-transformer"),
        device="cpu",
        batch_seconds=30,
    )


@pytest.fixture(scope="session")
def models(engine_settings: EngineSettings) -> Models:
    return load_models(engine_settings)


@pytest.fixture(scope="session")
def auto_model() -> Callable[[Path | str], Any]:
    """FunASR's own AutoModel of a folder: what ours is compared with."""
    built: dict[str, Any] = {}

    def load(folder: Path | str) -> Any:
        with quiet_libraries():
            from funasr import AutoModel  # noqa: PLC0415 - slow import

        if str(folder) not in built:
            with quiet_libraries():
                built[str(folder)] = AutoModel(
                    model=str(folder), disable_update=True, disable_pbar=True, disable_log=True, device="cpu"
                )
        return built[str(folder)]

    return load


@pytest.fixture(scope="session")
def recordings() -> dict[str, Samples]:
    """Speech: the package's samples, and the real recordings where they are."""
    found: dict[str, Samples] = {}
    if (SAMPLES / "truth.json").is_file():
        found |= {sample.name: decode(sample.path) for sample in load_samples() if sample.text}
    real = Path(os.environ.get("TINGXIE_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
    found |= {path.name: decode(path) for path in sorted((real / "audio").glob("*.wav"))}
    if not found:
        pytest.skip("no speech: neither the package's samples nor ../shared/real is here")
    return found


@pytest.fixture(scope="session")
def segments(recordings: dict[str, Samples]) -> list[Samples]:
    """Stretches of speech of many lengths, 0.3 s to 10 s, in whole frames as the detector cuts them."""
    random = np.random.default_rng(0)
    cut: list[Samples] = []
    for samples in recordings.values():
        at = 0
        while at < len(samples) and len(cut) < 60:
            length = min(int(random.uniform(0.3, 10) * SAMPLE_RATE), len(samples) - at) // FRAME_SHIFT * FRAME_SHIFT
            cut.append(samples[at : at + length])
            at += max(length, FRAME_SHIFT)
    return [piece for piece in cut if len(piece) >= SAMPLE_RATE // 4]


@pytest.fixture
def track(tmp_path: Path) -> Callable[..., Track]:
    """Write samples to a spool file: ``track(samples, channel=0)``."""

    def write(samples: Samples, channel: int = 0) -> Track:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.s16"
        path.write_bytes(np.asarray(samples, dtype="<i2").tobytes())
        return Track(channel, path, len(samples))

    return write


@pytest.fixture(scope="session", params=["BiCifParaformer", "SeacoParaformer"])
def bicif_folder(demo_models: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A model folder like Paraformer-large's (a timing head with an LSTM), small and with random weights.

    One of each class that has such a head; SeACo's has layers for hotwords besides.
    """
    with quiet_libraries():
        import torch  # noqa: PLC0415 - slow import
        from funasr import AutoModel  # noqa: PLC0415 - slow import

    folder: Path = tmp_path_factory.mktemp("models") / request.param.lower()
    shutil.copytree(demo_models / "paraformer", folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"], config["predictor"] = request.param, "CifPredictorV3"
    config["model_conf"] |= {"predictor_bias": 1, "ctc_weight": 0.0}
    config["predictor_conf"] |= {
        "smooth_factor2": 0.25,
        "noise_threshold2": 0.01,
        "upsample_times": 3,
        "use_cif1_cnn": False,
        "upsample_type": "cnn_blstm",
    }
    if request.param == "SeacoParaformer":
        width = config["encoder_conf"]["output_size"]
        config["model_conf"] |= {"inner_dim": width, "bias_encoder_type": "lstm", "bias_encoder_bid": False}
        config |= {"seaco_decoder": config["decoder"], "seaco_decoder_conf": dict(config["decoder_conf"])}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "model.pt").unlink()
    with quiet_libraries():
        model, _ = AutoModel.build_model(
            model=str(folder), init_param=None, disable_update=True, device="cpu", ncpu=torch.get_num_threads(), seed=7
        )
    torch.save(model.state_dict(), folder / "model.pt")
    return folder


@pytest.fixture
def hub_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Point the model hub's client somewhere, with an empty cache: ``hub_address("http://127.0.0.1:1")``."""
    with quiet_libraries():
        from modelscope_hub.config import set_default_config  # noqa: PLC0415 - slow import

    def point_to(address: str) -> None:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", address)
        monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
        set_default_config(None)  # it reads the environment once

    yield point_to
    monkeypatch.undo()
    set_default_config(None)
