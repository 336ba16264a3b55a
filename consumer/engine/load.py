"""From settings to models that are ready to work.

This module and those it imports pull in torch and FunASR, which takes up to half a minute: the engine's thread imports
it when it starts, nothing else does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import torch

from consumer.engine.attention import fuse
from consumer.engine.device import Beside
from consumer.engine.features import check_frontend
from consumer.engine.hub import ModelFolder, find_models
from consumer.engine.punctuation import Punctuator
from consumer.engine.quiet import quiet_libraries
from consumer.engine.recogniser import CLASSES, FEATURE_FRAMES, Recogniser
from consumer.engine.vad import VoiceActivityDetector
from consumer.errors import ModelUnavailable
from consumer.settings import EngineSettings
from consumer.transcript.types import ModelInfo

_UNUSED = ("ctc.", "criterion", "decoder.embed.")
"""Parameters that only training uses; a folder may lack them."""


@dataclass(frozen=True, slots=True)
class Models:
    """The models of one engine.

    Attributes:
        info: what they are.
        detector: finds speech.
        recogniser: turns it into words.
        punctuator: marks them; None when the settings name none.
        beside: what detector and punctuator compute while the recogniser computes is to be computed in this context.
    """

    info: ModelInfo
    detector: VoiceActivityDetector
    recogniser: Recogniser
    punctuator: Punctuator | None
    beside: Beside


@dataclass(frozen=True, slots=True)
class _Built:
    """A FunASR model with what belongs to it."""

    folder: ModelFolder
    model: Any
    tokenizer: Any
    frontend: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be loaded, found and not yet loaded.

    Attributes:
        asr: folder of the recogniser.
        vad: of the voice activity detection.
        punctuation: of the punctuation; None when the settings name none.
        device: ``cpu`` or ``cuda:0``.
        dtype: what encoder and decoder compute in.
    """

    asr: ModelFolder
    vad: ModelFolder
    punctuation: ModelFolder | None
    device: str
    dtype: torch.dtype

    @property
    def folders(self) -> list[ModelFolder]:
        """All of them."""
        return [self.asr, self.vad, *([self.punctuation] if self.punctuation else [])]

    @property
    def info(self) -> ModelInfo:
        """What they are."""
        return ModelInfo(
            name=self.asr.name,
            revision=self.asr.revision,
            vad=self.vad.versioned,
            punctuation=self.punctuation.versioned if self.punctuation else "",
            dtype=str(self.dtype).removeprefix("torch."),
            device=self.device,
        )


def plan_models(settings: EngineSettings) -> Plan:
    """Find all models, and download where needed.

    Raises:
        ModelUnavailable: one cannot be had; the message names its setting, the cause and a way out.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    asr, vad, *punctuation = find_models(settings)
    return Plan(asr, vad, punctuation[0] if punctuation else None, device, dtype)


def load_models(settings: EngineSettings, plan: Plan | None = None) -> Models:
    """Load all models.

    Args:
        settings: which, and where.
        plan: what `plan_models` made of the settings, if it was asked already.

    Raises:
        ModelUnavailable: one cannot be had; the message names its setting, the cause and a way out.
    """
    plan = plan or plan_models(settings)
    device = plan.device
    if settings.threads:
        torch.set_num_threads(settings.threads)
    asr = _build(plan.asr, device, CLASSES, FEATURE_FRAMES)
    _check_predictor(asr)
    vad = _build(plan.vad, device, ("FsmnVADStreaming",), 1)
    punc = _build(plan.punctuation, device, ("CTTransformer",)) if plan.punctuation else None
    return Models(
        info=plan.info,
        detector=VoiceActivityDetector(vad.model, vad.frontend, device),
        recogniser=Recogniser(asr.model, asr.tokenizer, asr.frontend, device, plan.dtype),
        punctuator=None if punc is None else Punctuator(punc.model, punc.tokenizer, device),
        beside=Beside(torch.device(device)),
    )


def choose_device(wanted: str) -> str:
    """``cpu`` or ``cuda:0`` for the setting ``engine.device``."""
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda:0"
    if wanted == "cuda":
        raise ModelUnavailable(
            "engine.device = 'cuda', but torch sees no CUDA device. Check the driver and that the container was given "
            "a GPU, or set TINGXIE_ENGINE__DEVICE=cpu."
        )
    return "cpu"


def choose_dtype(wanted: str, device: str) -> torch.dtype:
    """What encoder and decoder compute in: bfloat16 by itself only on a GPU that has it."""
    if wanted == "auto":
        return torch.bfloat16 if device != "cpu" and torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def _build(folder: ModelFolder, device: str, classes: tuple[str, ...], lfr_n: int = 0) -> _Built:
    """Build a FunASR model from its folder and load its weights; ``lfr_n`` is 0 for one that does not hear."""
    try:
        with quiet_libraries():
            built = _build_quietly(folder, classes)
        if lfr_n:
            check_frontend(folder, built.frontend, lfr_n)
        _load_weights(folder, built.model)
        built.model.to(device).eval().requires_grad_(False)
        fuse(built.model)
        return built
    except ModelUnavailable:
        raise
    except Exception as cause:
        raise ModelUnavailable(
            f"{folder.setting}: the model in {folder.path} does not load: {type(cause).__name__}: {cause}. "
            "Compare its files with the original, or fetch it again."
        ) from cause


def _build_quietly(folder: ModelFolder, classes: tuple[str, ...]) -> _Built:
    from funasr import AutoModel  # noqa: PLC0415 - it prints and warns
    from funasr.download.download_model_from_hub import download_model  # noqa: PLC0415 - likewise

    config = download_model(model=str(folder.path), check_latest=False, trust_remote_code=False)
    kind = str(config["model"])
    if kind not in classes:
        raise ModelUnavailable(
            f"{folder.setting}: {folder.path} holds a {kind} model, but only {', '.join(classes)} can be used here."
        )
    config.setdefault("model_conf", {})  # or FunASR would look for the model's class on the hub
    # FunASR's own loader keeps random weights where a file lacks some: they are loaded by _load_weights instead.
    config |= {
        "init_param": None,
        "device": "cpu",
        "ncpu": torch.get_num_threads(),
        "disable_log": True,
        "disable_update": True,
    }
    model, built = AutoModel.build_model(**config)
    return _Built(folder, model, built.get("tokenizer"), built.get("frontend"))


def _load_weights(folder: ModelFolder, model: torch.nn.Module) -> None:
    """Load ``model.pt`` as plain tensors (no code in it is run), and insist on all that is used being there."""
    try:
        state = torch.load(folder.path / "model.pt", map_location="cpu", weights_only=True)
    except UnpicklingError as cause:
        # Its own message advises to load the file with the code in it.
        asked = re.search(r"GLOBAL (\S+)", str(cause))
        reason = f"asks for {asked[1]}, which may run any code" if asked else "is no checkpoint that PyTorch reads"
        raise ModelUnavailable(
            f"{folder.setting}: the model in {folder.path} does not load: model.pt {reason}. Only tensors are taken: "
            "fetch the original again, or save its state_dict alone."
        ) from cause
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    missing, _ = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.startswith(_UNUSED)]
    if missing:
        raise ModelUnavailable(
            f"{folder.setting}: {folder.path / 'model.pt'} lacks {len(missing)} parameters that its config.yaml names, "
            f"{missing[0]} among them: the two do not belong together."
        )


def _check_predictor(asr: _Built) -> None:
    kind = getattr(asr.model.predictor, "upsample_type", "cnn")
    if kind not in {"cnn", "cnn_blstm"}:
        raise ModelUnavailable(
            f"engine.model: {asr.folder.path} has a predictor with upsample_type {kind!r}, "
            "but only cnn and cnn_blstm can be used here."
        )
