from __future__ import annotations

import sys
from pathlib import Path

import pytest

from consumer.demo import summary
from consumer.demo.board import Totals
from consumer.demo.samples import Ending, Sample
from consumer.transcript.cer import CharacterErrors

ENDINGS = {"a": Ending("completed"), "b": Ending("no_speech"), "c": Ending("dead-letter")}


def test_the_result_says_what_the_topics_hold() -> None:
    text = summary.result(Totals(transcripts=1), ENDINGS, CharacterErrors(1, 200), [], 3).plain
    assert "read back from the topics: 2 transcripts, 1 dead letter\n" in text
    assert "character error rate 0.50% (1 of 200 characters" in text
    assert "all 3 samples ended as they should" in text


def test_the_result_names_what_went_wrong() -> None:
    text = summary.result(Totals(), {}, CharacterErrors(9, 9), ["a.wav: lost"], 3).plain
    assert "✘ 1 of 3 samples did not end as they should\n  a.wav: lost" in text
    assert "✔" not in text


def test_next_steps_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv/bin/tingxie"), "demo"])
    monkeypatch.setenv("PATH", "")
    silent, spoken = Sample(tmp_path / "s.wav", "no_speech"), Sample(tmp_path / "a b.wav", "completed")
    text = summary.next_steps((silent, spoken)).plain
    assert "  .venv/bin/tingxie demo --keep tingxie-drop\n" in text
    assert "  .venv/bin/tingxie transcribe --demo-model 'a b.wav'\n" in text


def test_the_program_is_named_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "tingxie"
    command.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(command)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert summary.program() == "tingxie"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "consumer" / "__main__.py")])
    assert summary.program().endswith(" -m consumer")


def test_the_watched_folder_and_the_broker_are_named(tmp_path: Path) -> None:
    text = summary.watching(tmp_path, "127.0.0.1:1234").plain
    assert str(tmp_path) in text
    assert "TINGXIE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:1234" in text
