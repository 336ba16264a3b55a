"""Finds a model's folder: a local one, or one of the ModelScope hub, downloaded once and then kept."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from consumer.engine.quiet import quiet_libraries
from consumer.errors import ModelUnavailable
from consumer.settings import EngineSettings

log = structlog.get_logger(__name__)
_MODEL_ID = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
NEEDED = ("config.yaml", "model.pt")
COMPLETE = ".tingxie-complete"
"""In a downloaded folder, names the revision whose every file arrived: it is used without asking the hub again.

The name is needed because caches that older versions of ModelScope made hold one revision, whichever is asked for.
"""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Where a model lies.

    Attributes:
        path: the folder.
        name: the hub's model id, or the folder's name.
        revision: the hub's revision, or a digest of the folder's weights.
        setting: the setting that names it, for messages.
    """

    path: Path
    name: str
    revision: str
    setting: str

    @property
    def versioned(self) -> str:
        """``name@revision``."""
        return f"{self.name}@{self.revision}"


def find_models(settings: EngineSettings) -> list[ModelFolder]:
    """The folders of all models that the settings name, downloaded where need be.

    Raises:
        ModelUnavailable: one cannot be had; the message names its setting, the cause and a way out.
    """
    wanted = [
        ("engine.model", settings.model, settings.model_revision),
        ("engine.vad", settings.vad, settings.vad_revision),
        ("engine.punctuation", settings.punctuation, settings.punctuation_revision),
    ]
    return [find_model(*each) for each in wanted if each[1]]


def find_model(setting: str, value: str, revision: str) -> ModelFolder:
    """The folder of a model.

    Args:
        setting: name of the setting, for messages (``engine.model``).
        value: a local folder or a hub's model id.
        revision: of a model id; a local folder has none.

    Raises:
        ModelUnavailable: it is neither, incomplete, or cannot be downloaded.
    """
    path = Path(value).expanduser()
    if path.is_dir():
        _check_complete(setting, path)
        return ModelFolder(path, path.resolve().name, _digest(path / "model.pt"), setting)
    if not _MODEL_ID.fullmatch(value) or value.startswith("."):
        raise ModelUnavailable(
            f"{setting} = {value!r}: there is no such folder, and it is no model id of the form owner/name. "
            f"Set {_variable(setting)} to a FunASR model folder or a ModelScope model id."
        )
    path = _from_hub(setting, value, revision)
    _check_complete(setting, path)
    return ModelFolder(path, value, revision, setting)


def _from_hub(setting: str, model_id: str, revision: str) -> Path:
    with quiet_libraries():
        from modelscope.hub.snapshot_download import snapshot_download  # noqa: PLC0415 - slow import

    kept: Path | None = None
    try:
        with quiet_libraries():
            kept = Path(snapshot_download(model_id, revision=revision, local_files_only=True))
        if _holds(kept, revision):
            return kept
    except Exception as cause:  # noqa: BLE001 - many kinds; whatever it was, the hub is asked next
        log.debug("model_not_kept", model=model_id, revision=revision, cause=str(cause))
    log.info("model_download", setting=setting, model=model_id, revision=revision)
    try:
        with quiet_libraries():
            path = Path(snapshot_download(model_id, revision=revision))
    except Exception as cause:
        # In a cache of today's layout the folder's name is the revision.
        if kept is not None and kept.name == revision and all((kept / name).is_file() for name in NEEDED):
            log.warning("model_hub_unreachable", model=model_id, revision=revision, kept=str(kept))
            return kept
        raise ModelUnavailable(
            f"{setting} = {model_id!r} at revision {revision!r} could not be downloaded from the model hub: "
            f"{type(cause).__name__}: {_first_line(cause)}. Check id, revision and network (proxy), or download it "
            f"where there is one and set {_variable(setting)} to the folder."
            + (f" {kept} may hold another revision; to use it as it is, name that folder." if kept else "")
        ) from cause
    with suppress(OSError):  # a cache that cannot be written is asked for again at the next start
        (path / COMPLETE).write_text(revision)
    return path


def _holds(folder: Path, revision: str) -> bool:
    """Whether all of this revision lies in the folder, and nothing of another."""
    marker = folder / COMPLETE
    return marker.is_file() and marker.read_text() == revision


def _check_complete(setting: str, path: Path) -> None:
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if missing:
        raise ModelUnavailable(
            f"{setting}: the folder {path} has no {' and no '.join(missing)}; it must be a FunASR model folder. "
            f"Set {_variable(setting)} to a complete one."
        )


def _digest(weights: Path) -> str:
    digest = hashlib.sha256()
    with weights.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def _variable(setting: str) -> str:
    return "TINGXIE_" + setting.upper().replace(".", "__")


def _first_line(cause: BaseException) -> str:
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else "no further reason given"
