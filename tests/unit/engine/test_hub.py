from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from consumer.engine.hub import find_model
from consumer.errors import ModelUnavailable


def test_a_folder_is_named_and_digested(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.yaml").write_text("model: Paraformer")
    (folder / "model.pt").write_bytes(b"weights")
    found = find_model("engine.model", str(folder), "v9")
    assert found.path == folder
    assert found.versioned == f"my-model@{hashlib.sha256(b'weights').hexdigest()[:12]}"


def test_an_incomplete_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: Paraformer")
    with pytest.raises(ModelUnavailable, match=r"engine\.vad.*has no model\.pt.*TINGXIE_ENGINE__VAD"):
        find_model("engine.vad", str(tmp_path), "v1")


@pytest.mark.parametrize("value", ["/no/such/folder", "./models", "paraformer", "a/b/c", "../x", ""])
def test_what_is_neither_folder_nor_id_is_refused(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable, match=r"engine\.model|has no"):
        find_model("engine.model", value, "v1")
