"""Reads and writes model folders in FunASR's layout, which `funasr.AutoModel(model=FOLDER)` loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from training.features import Features, write_normalisation

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a folder holds: task, config, weights, and where the model has them, tokens and normalisation."""

    task: str
    config: Mapping[str, Any]
    weights: Weights
    tokens: Sequence[str] = ()
    normalisation: tuple[Features, Features] | None = None


def save(folder: Path, content: ModelFolder) -> None:
    """Writes the folder. Weights are a plain dictionary of half-precision tensors, safe to load with weights_only."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {"init_param": "model.pt", "config": "config.yaml"}
    if content.tokens:
        files["tokenizer_conf"] = {"token_list": "tokens.json"}
        (folder / "tokens.json").write_text(json.dumps(list(content.tokens), ensure_ascii=False), encoding="utf-8")
    if content.normalisation:
        files["frontend_conf"] = {"cmvn_file": "am.mvn"}
        write_normalisation(folder / "am.mvn", *content.normalisation)
    weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor.clone()
        for name, tensor in content.weights.items()
    }
    torch.save(weights, folder / "model.pt")
    config = yaml.safe_dump(dict(content.config), sort_keys=False, allow_unicode=True)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    description = {
        "framework": "pytorch",
        "task": content.task,
        "model": {"type": "pytorch"},
        "file_path_metas": files,
    }
    (folder / "configuration.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a folder in single precision."""
    weights: dict[str, torch.Tensor] = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def load_tokens(folder: Path) -> list[str]:
    """The tokens of a folder, in the order of their ids."""
    tokens: list[str] = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    return tokens
