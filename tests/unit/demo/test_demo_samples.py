from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumer.demo.assets import SAMPLES
from consumer.demo.samples import Ending, Sample, errors_in, faults, load_samples

SPOKEN = Sample(Path("a.wav"), "completed", text="今天下午三点开会，请准时。")
SILENT = Sample(Path("b.wav"), "no_speech")
BROKEN = Sample(Path("c.wav"), "dead-letter", error_class="not_media")
RIGHT = {
    "a.wav": Ending("completed", text="今天下午三点开会请准时"),
    "b.wav": Ending("no_speech"),
    "c.wav": Ending("dead-letter", error_class="not_media"),
}


def test_truth_is_read_in_its_order(tmp_path: Path) -> None:
    entries = [
        {"file": "z.mp3", "expect": "completed", "text": "你好。"},
        {"file": "b.wav", "expect": "no_speech", "text": "", "error_class": None},
        {"file": "c.wav", "expect": "dead-letter", "error_class": "not_media"},
    ]
    (tmp_path / "truth.json").write_text(json.dumps({"samples": entries}), encoding="utf-8")
    samples = load_samples(tmp_path)
    assert [sample.name for sample in samples] == ["z.mp3", "b.wav", "c.wav"]
    assert samples[0] == Sample(tmp_path / "z.mp3", "completed", text="你好。")
    assert samples[2].error_class == "not_media"


def test_all_as_it_should_be() -> None:
    assert faults((SPOKEN, SILENT, BROKEN), RIGHT) == []


@pytest.mark.parametrize(
    ("name", "ending", "complaint"),
    [
        ("a.wav", None, "neither a transcript nor a dead letter"),
        ("a.wav", Ending("no_speech"), "ended as no_speech, should be completed"),
        ("a.wav", Ending("completed", text="完全不同的话"), "should be '今天下午三点开会，请准时。'"),
        ("b.wav", Ending("completed", text="啊"), "ended as completed, should be no_speech"),
        ("c.wav", Ending("dead-letter", error_class="object_missing"), "class object_missing, should be not_media"),
        ("c.wav", Ending("completed", text="啊"), "ended as completed, should be dead-letter"),
        ("b.wav", Ending("dead-letter", error_class="not_media"), "ended as dead-letter (not_media)"),
    ],
)
def test_what_ended_otherwise_is_named(name: str, ending: Ending | None, complaint: str) -> None:
    endings = {key: value for key, value in RIGHT.items() if key != name}
    if ending is not None:
        endings[name] = ending
    (line,) = faults((SPOKEN, SILENT, BROKEN), endings)
    assert line.startswith(f"{name}: ")
    assert complaint in line


def test_one_wrong_character_is_no_fault_but_counts() -> None:
    endings = RIGHT | {"a.wav": Ending("completed", text="今天下午三电开会，请准时。")}
    assert faults((SPOKEN,), endings) == []
    assert errors_in((SPOKEN, SILENT, BROKEN), endings).edits == 1


def test_a_missing_transcript_counts_as_empty() -> None:
    assert errors_in((SPOKEN, SILENT), {}).rate == 1.0


def test_the_samples_that_ship_cover_what_users_have() -> None:
    samples = load_samples()
    assert len(samples) >= 10
    assert all(sample.path.stat().st_size for sample in samples)
    assert len({sample.path.suffix for sample in samples}) >= 6
    assert {sample.expect for sample in samples} == {"completed", "no_speech", "dead-letter"}
    for sample in samples:
        assert bool(sample.text) == (sample.expect == "completed")
        assert bool(sample.error_class) == (sample.expect == "dead-letter")
    named = {sample.name for sample in samples} | {"truth.json"}
    assert {path.name for path in SAMPLES.iterdir()} == named
