"""Full-size models with random weights, made once: they cost what the trained ones cost, and can be made anywhere.

``python -m benchmarks.models`` makes them; every benchmark that needs them does so by itself. They have the shapes of
Paraformer-large and of the CT-Transformer that its own folder names, 1.2 GB in all. What they say is nonsense, but as
many tokens and marks of it as there are in speech.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.audio import speech
from consumer.demo.assets import MODELS as DEMO
from tests.servers.cache import make_once

VERSION = 1
"""Part of the folders' names; raised whenever other weights would come out."""
SEED = 20_000


@dataclass(frozen=True, slots=True)
class Size:
    """How large the models are.

    Attributes:
        encoder: entries of the recogniser's ``encoder_conf`` that differ from the demo's.
        decoder: of its ``decoder_conf``.
        vocabulary: its tokens.
        punctuation: entries of the CT-Transformer's ``encoder_conf``.
        punctuation_vocabulary: its tokens.
    """

    encoder: dict[str, int]
    decoder: dict[str, int]
    vocabulary: int
    punctuation: dict[str, int]
    punctuation_vocabulary: int


FULL = Size(
    encoder={"output_size": 512, "attention_heads": 4, "linear_units": 2048, "num_blocks": 50, "kernel_size": 11},
    decoder={"attention_heads": 4, "linear_units": 2048, "num_blocks": 16, "att_layer_num": 16, "kernel_size": 11},
    vocabulary=8404,
    punctuation={
        "input_size": 256,
        "output_size": 256,
        "attention_heads": 8,
        "linear_units": 1024,
        "num_blocks": 4,
        "kernel_size": 11,
    },
    punctuation_vocabulary=272_727,
)


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """Where the models of a benchmark are."""

    recogniser: Path
    vad: Path
    punctuation: Path

    def engine_settings(self) -> dict[str, str]:
        """As settings of the engine."""
        return {"model": str(self.recogniser), "vad": str(self.vad), "punctuation": str(self.punctuation)}


def demo_models(vad: Path | None = None) -> ModelFolders:
    """The small models that ship with the package."""
    return ModelFolders(DEMO / "paraformer", vad or DEMO / "fsmn-vad", DEMO / "ct-transformer")


def full_size_models(vad: Path | None = None) -> ModelFolders:
    """The full-size models, made first when they are not there: about a minute."""
    root = cache_root()
    return ModelFolders(
        make_once(root / f"paraformer-random-v{VERSION}", lambda folder: make_recogniser(folder, FULL)),
        vad or DEMO / "fsmn-vad",
        make_once(root / f"ct-transformer-random-v{VERSION}", lambda folder: make_punctuation(folder, FULL)),
    )


def cache_root() -> Path:
    """``$TINGXIE_CACHE/benchmarks``, else a folder of the user's cache."""
    if chosen := os.environ.get("TINGXIE_CACHE"):
        return Path(chosen) / "benchmarks"
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "tingxie" / "benchmarks"


def make_recogniser(folder: Path, size: Size) -> None:
    """Write a Paraformer into an empty folder."""
    import torch  # noqa: PLC0415 - slow, and not needed where the models are there

    from benchmarks.calibration import calibrate_predictor  # noqa: PLC0415 - likewise

    config = _demo_config("paraformer")
    config["encoder_conf"] |= size.encoder
    config["decoder_conf"] |= size.decoder
    config["predictor_conf"]["idim"] = size.encoder["output_size"]
    shutil.copy(DEMO / "paraformer" / "am.mvn", folder / "am.mvn")
    _write_folder(folder, "paraformer", config, ["<blank>", "<s>", "</s>", *_characters(size.vocabulary - 4), "<unk>"])
    model, built = _build(folder)
    frontend = built["frontend"]
    features = []
    for samples in speech():
        sound = torch.from_numpy(samples / 32768).float()
        features.append(frontend(sound.unsqueeze(0), [len(sound)])[0][0])
    calibrate_predictor(model, features)
    torch.save(model.state_dict(), folder / "model.pt")


def make_punctuation(folder: Path, size: Size) -> None:
    """Write a CT-Transformer into an empty folder."""
    import torch  # noqa: PLC0415 - slow, and not needed where the models are there

    from benchmarks.calibration import calibrate_punctuation  # noqa: PLC0415 - likewise

    config = _demo_config("ct-transformer")
    config["encoder_conf"] |= size.punctuation
    config["model_conf"] |= {
        "embed_unit": size.punctuation["input_size"],
        "att_unit": size.punctuation["output_size"],
    }
    _write_folder(folder, "ct-transformer", config, [*_characters(size.punctuation_vocabulary - 1), "<unk>"])
    model, _ = _build(folder)
    common = min(size.vocabulary, size.punctuation_vocabulary)
    calibrate_punctuation(model, torch.randint(common, (512, 30), generator=torch.Generator().manual_seed(SEED)))
    torch.save(model.state_dict(), folder / "model.pt")


def _demo_config(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((DEMO / name / "config.yaml").read_text(encoding="utf-8"))
    return config


def _characters(count: int) -> list[str]:
    """Chinese characters, and when they run out, words of two."""
    first, last = 0x4E00, 0x9FA5
    tokens = [chr(code) for code in range(first, min(first + count, last + 1))]
    pairs = count - len(tokens)
    return tokens + [f"{chr(first + n // 1000)}{chr(first + n % 1000)}" for n in range(pairs)]


def _write_folder(folder: Path, like: str, config: dict[str, Any], tokens: list[str]) -> None:
    """All of a model folder but the weights, laid out like one of the demo's."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    (folder / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")
    shutil.copy(DEMO / like / "configuration.json", folder / "configuration.json")


def _build(folder: Path) -> tuple[Any, dict[str, Any]]:
    """FunASR's model of a folder without weights; random ones, the same every time."""
    from funasr import AutoModel  # noqa: PLC0415 - slow, and not needed where the models are there
    from funasr.download.download_model_from_hub import download_model  # noqa: PLC0415 - likewise

    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123 - a device
        config = download_model(model=str(folder), check_latest=False, trust_remote_code=False)
        config |= {"init_param": None, "device": "cpu", "disable_log": True, "disable_update": True, "seed": SEED}
        model, built = AutoModel.build_model(**config)
    return model.eval().requires_grad_(requires_grad=False), built


if __name__ == "__main__":
    full_size_models()
