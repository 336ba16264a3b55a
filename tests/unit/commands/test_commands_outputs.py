from __future__ import annotations

import io
import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.commands.outputs import FolderOutput, OutputError, StreamOutput, output_names
from consumer.commands.transcribe import _reason
from consumer.errors import NotMedia
from consumer.events.transcript import Transcript
from consumer.transcript.formats import FORMATS, render
from tests.unit.transcript.speech import span, transcript_of

HELLO = transcript_of([span("你 好。")])


def written(form: str, *, several: bool = False) -> str:
    stream = io.StringIO()
    output = StreamOutput(stream, form, several=several)  # type: ignore[arg-type]
    output.write(0, "a.wav", HELLO)
    output.write(1, "b.wav", transcript_of([]))
    return stream.getvalue()


def test_one_document_a_line() -> None:
    first, second = written("json", several=True).splitlines()
    assert Transcript.model_validate_json(first) == HELLO
    assert json.loads(second)["status"] == "no_speech"


def test_text_of_several_has_headers() -> None:
    assert written("txt", several=True) == "==> a.wav <==\n你好。\n\n==> b.wav <==\n"


def test_text_of_one_has_none() -> None:
    assert written("txt") == "你好。\n"


def test_a_file_for_each_format(tmp_path: Path) -> None:
    stream = io.StringIO()
    output = FolderOutput(tmp_path / "new", FORMATS, [PurePosixPath("calls/a.wav"), PurePosixPath("b.mp3")], stream)
    output.write(1, "b.mp3", HELLO)
    output.write(0, "calls/a.wav", HELLO)
    names = [f"new/{name}.{form}" for name in ("b", "calls/a") for form in FORMATS]
    assert stream.getvalue().splitlines() == [str(tmp_path / name) for name in names]
    for name in names:
        form = name.rsplit(".", 1)[1]
        assert (tmp_path / name).read_text(encoding="utf-8") == render(HELLO, form)  # type: ignore[arg-type]


def test_a_file_in_the_way_of_a_folder_fails_that_one(tmp_path: Path) -> None:
    (tmp_path / "calls").touch()
    output = FolderOutput(tmp_path, ["txt"], [PurePosixPath("calls/a.wav"), PurePosixPath("b.wav")], io.StringIO())
    with pytest.raises(OutputError, match="cannot be written"):
        output.write(0, "calls/a.wav", HELLO)
    output.write(1, "b.wav", HELLO)
    assert (tmp_path / "b.txt").exists()


@pytest.mark.parametrize(
    ("relatives", "names"),
    [
        (["a.wav", "b.mp3"], ["a", "b"]),
        (["a.wav", "a.mp3", "c.wav"], ["a.wav", "a.mp3", "c"]),
        (["a.wav", "a.wav", "a.wav"], ["a.wav", "a.wav-2", "a.wav-3"]),
        (["x/a.wav", "y/a.wav"], ["x/a", "y/a"]),
        (["A.wav", "a.wav"], ["A.wav", "a.wav-2"]),
        (["talk.v1.wav", "talk.v2.wav"], ["talk.v1", "talk.v2"]),
        (["noextension", ".wav"], ["noextension", ".wav"]),
    ],
)
def test_names(relatives: list[str], names: list[str]) -> None:
    assert [str(name) for name in output_names([PurePosixPath(each) for each in relatives])] == names


PATHS = st.lists(st.sampled_from(["a", "A", "a.wav", "a.mp3", "a.wav-2", "a.wav.wav", "x/a.wav", "ß.wav", "SS.wav"]))


@given(PATHS)
def test_no_two_inputs_share_a_file(relatives: list[str]) -> None:
    names = output_names([PurePosixPath(each) for each in relatives])
    assert len({str(name).casefold() for name in names}) == len(relatives)
    assert [name.parent for name in names] == [PurePosixPath(each).parent for each in relatives]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("calls/a.wav", "/calls/a.wav: the reason"),
        ("calls/a.wav", f"{Path('calls/a.wav').absolute()}: the reason"),
        ("/calls/a.wav", "//calls/a.wav: the reason"),
        ("calls", "calls: the reason"),
        ("s3://audio/a.wav", "audio/a.wav: the reason"),
        ("s3://audio/a.wav", "s3://audio/a.wav: the reason"),
        ("a.wav", "the reason"),
    ],
)
def test_reasons_do_not_repeat_the_name(name: str, message: str) -> None:
    assert _reason(name, NotMedia(message)) == "the reason"
