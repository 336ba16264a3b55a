from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from consumer.engine.load import Models, choose_device, choose_dtype, load_models
from consumer.errors import ModelUnavailable
from consumer.settings import EngineSettings
from tests.model.speech import mels_of


@pytest.fixture
def paraformer(demo_models: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(demo_models / "paraformer", tmp_path / "paraformer"))


def rewrite(folder: Path, **changes: Any) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))


def load(settings: EngineSettings, folder: Path) -> Models:
    return load_models(settings.model_copy(update={"model": str(folder)}))


def test_the_models_tell_what_they_are(models: Models) -> None:
    info = models.info
    assert (info.name, info.device, info.dtype) == ("paraformer", "cpu", "float32")
    assert len(info.revision) == 12
    assert info.vad.startswith("fsmn-vad@")
    assert info.punctuation.startswith("ct-transformer@")


def test_punctuation_can_be_left_out(engine_settings: EngineSettings) -> None:
    models = load_models(engine_settings.model_copy(update={"punctuation": ""}))
    assert models.punctuator is None
    assert models.info.punctuation == ""


def test_loading_prints_nothing(engine_settings: EngineSettings, capfd: pytest.CaptureFixture[str]) -> None:
    load_models(engine_settings)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("setting", "name"), [("model", "paraformer"), ("vad", "fsmn-vad"), ("punctuation", "ct-transformer")]
)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_run_code_are_refused(
    engine_settings: EngineSettings, demo_models: Path, tmp_path: Path, setting: str, name: str, zipped: bool
) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "was-run"),)

    folder = Path(shutil.copytree(demo_models / name, tmp_path / name))
    torch.save({"encoder": Harmful()}, folder / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ModelUnavailable, match=rf"engine\.{setting}: .*model\.pt asks for posix\.mkdir.*Only tensors"
    ) as caught:
        load_models(engine_settings.model_copy(update={setting: str(folder)}))
    assert "weights_only" not in str(caught.value), "nobody is advised to run the code after all"
    assert not (tmp_path / "was-run").exists()
    torch.load(folder / "model.pt", weights_only=False)
    assert (tmp_path / "was-run").exists(), "it would have been run"


def test_code_beside_a_model_is_not_run(engine_settings: EngineSettings, paraformer: Path, tmp_path: Path) -> None:
    ran = tmp_path / "was-run"
    (paraformer / "model.py").write_text(f"import os\nos.mkdir({str(ran)!r})\n")
    (paraformer / "requirements.txt").write_text("no-such-package-of-this-name\n")
    config = (paraformer / "config.yaml").read_text()
    asks = {"trust_remote_code": True, "remote_code": str(paraformer / "model.py")}
    (paraformer / "config.yaml").write_text(config + yaml.safe_dump(asks))
    load(engine_settings, paraformer)
    assert not ran.exists()
    (paraformer / "config.yaml").write_text(f"{config}\nevil: !!python/object/apply:os.mkdir [{str(ran)!r}]\n")
    with pytest.raises(ModelUnavailable, match=r"engine\.model.*does not load"):
        load(engine_settings, paraformer)
    assert not ran.exists()


def test_weights_that_lack_parameters_are_refused(engine_settings: EngineSettings, paraformer: Path) -> None:
    state = torch.load(paraformer / "model.pt", weights_only=True)
    lost = next(name for name in state if name.startswith("predictor."))
    del state[lost]
    torch.save(state, paraformer / "model.pt")
    with pytest.raises(ModelUnavailable, match=r"engine\.model.*lacks 1 parameters.*" + lost):
        load(engine_settings, paraformer)


def test_weights_wrapped_by_a_trainer_load(engine_settings: EngineSettings, paraformer: Path) -> None:
    state = torch.load(paraformer / "model.pt", weights_only=True)
    wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(wrapped, paraformer / "model.pt")
    loaded = load(engine_settings, paraformer).recogniser._model.state_dict()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in state.items())


def test_weights_that_are_no_weights_are_refused(engine_settings: EngineSettings, paraformer: Path) -> None:
    (paraformer / "model.pt").write_bytes(b"<html>404</html>")
    with pytest.raises(ModelUnavailable, match=r"engine\.model.*does not load: model\.pt is no checkpoint"):
        load(engine_settings, paraformer)


def test_features_are_the_same_each_time_whatever_the_folder_asks_for(
    engine_settings: EngineSettings, paraformer: Path
) -> None:
    config = yaml.safe_load((paraformer / "config.yaml").read_text())
    rewrite(paraformer, frontend_conf=config["frontend_conf"] | {"dither": 1.0})
    models = load(engine_settings, paraformer)
    samples = np.random.default_rng(0).integers(-9, 9, 16000).astype(np.int16)
    one, other = (models.recogniser.features.whole(mels_of([samples]))[0] for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n_mels": 40}, "n_mels 40, but only 80"),
        ({"window": "povey"}, "window 'povey', but only 'hamming'"),
        ({"frame_length": 20}, "frame_length 20"),
        ({"fs": 8000}, "fs 8000"),
        ({"lfr_n": 1}, "lfr_n 1, but only 6"),
        ({"lfr_m": 5}, "normalisation .* is for 560 values, .* features of 400"),
    ],
)
def test_features_that_cannot_be_computed_are_refused(
    engine_settings: EngineSettings, paraformer: Path, asked: dict[str, Any], message: str
) -> None:
    config = yaml.safe_load((paraformer / "config.yaml").read_text())
    rewrite(paraformer, frontend_conf=config["frontend_conf"] | asked)
    with pytest.raises(ModelUnavailable, match=r"engine\.model: .*" + message):
        load(engine_settings, paraformer)


@pytest.mark.parametrize(
    ("section", "asked", "message"),
    [
        ("model_conf", {"detect_mode": 0}, "detect_mode 0, but only 1"),
        ("model_conf", {"do_extend": 0}, "do_extend 0, but only 1"),
        ("frontend_conf", {"lfr_n": 2}, "lfr_n 2, but only 1"),
        ("frontend", None, r"frontend \(none\)"),
    ],
)
def test_a_detector_that_cannot_be_used_is_refused(
    engine_settings: EngineSettings, tmp_path: Path, section: str, asked: Any, message: str
) -> None:
    folder = Path(shutil.copytree(engine_settings.vad, tmp_path / "fsmn-vad"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    rewrite(folder, **{section: config[section] | asked if isinstance(asked, dict) else asked})
    with pytest.raises(ModelUnavailable, match=r"engine\.vad: .*" + message):
        load_models(engine_settings.model_copy(update={"vad": str(folder)}))


def test_a_model_of_another_class_is_refused_by_name(engine_settings: EngineSettings) -> None:
    with pytest.raises(ModelUnavailable, match=r"engine\.model.*FsmnVADStreaming.*only Paraformer, BiCifParaformer"):
        load(engine_settings, Path(engine_settings.vad))


def test_a_predictor_that_cannot_be_used_is_refused(engine_settings: EngineSettings, bicif_folder: Path) -> None:
    folder = bicif_folder.with_name("attention")
    if not folder.exists():
        shutil.copytree(bicif_folder, folder)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        rewrite(folder, predictor_conf=config["predictor_conf"] | {"upsample_type": "cnn_attn"})
    with pytest.raises(ModelUnavailable, match=r"engine\.model"):
        load(engine_settings, folder)


def test_an_id_the_hub_cannot_give_is_refused_with_advice(
    engine_settings: EngineSettings, hub_address: Callable[[str], None]
) -> None:
    hub_address("http://127.0.0.1:9")
    settings = engine_settings.model_copy(update={"model": "nobody/no-such-model", "model_revision": "v1.2.3"})
    with pytest.raises(
        ModelUnavailable, match=r"engine\.model = 'nobody/no-such-model' at revision 'v1\.2\.3'.*TINGXIE_ENGINE__MODEL"
    ):
        load_models(settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match=r"engine\.device = 'cuda'.*TINGXIE_ENGINE__DEVICE=cpu"):
        choose_device("cuda")


def test_device_and_dtype_choose_themselves() -> None:
    device = choose_device("auto")
    assert device == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert choose_dtype("auto", "cpu") is torch.float32
    assert choose_dtype("bfloat16", "cpu") is torch.bfloat16
    assert choose_dtype("float32", device) is torch.float32


def test_threads_are_set(engine_settings: EngineSettings) -> None:
    before = torch.get_num_threads()
    try:
        load_models(engine_settings.model_copy(update={"threads": 1}))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
