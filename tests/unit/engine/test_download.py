from __future__ import annotations

from pathlib import Path

import pytest

from consumer.engine.download import main


def test_folders_are_named_with_their_revisions(
    demo_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINGXIE_ENGINE__MODEL", str(demo_models / "paraformer"))
    monkeypatch.setenv("TINGXIE_ENGINE__VAD", str(demo_models / "fsmn-vad"))
    monkeypatch.setenv("TINGXIE_ENGINE__PUNCTUATION", "")
    assert main() == 0
    model, vad = capsys.readouterr().out.splitlines()
    assert model.startswith("engine.model: paraformer@")
    assert vad.endswith(f"in {demo_models / 'fsmn-vad'}")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TINGXIE_ENGINE__MODEL", "/nowhere", "engine.model = '/nowhere': there is no such folder"),
        ("TINGXIE_ENGINE__DEVICE", "tpu", "engine.device (TINGXIE_ENGINE__DEVICE)"),
    ],
)
def test_what_is_wrong_is_said(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert main() == 1
    assert message in capsys.readouterr().err
