from __future__ import annotations

import io
import json
from datetime import datetime

import pytest
from rich.console import Console

from consumer.commands.terminal import fit, printable
from consumer.commands.watch import OBJECT_WIDTH, _clock, _json_line, _terminal_line
from consumer.errors import NotMedia
from consumer.events.stored import StoredTranscript, reference
from consumer.kafka.records import Headers, Record
from tests.unit.events.letters import letter_headers
from tests.unit.transcript.speech import span, transcript_of

WIDTH = 100
HELLO = transcript_of([span("你 好。")], duration_ms=61_000)


def record(value: bytes | None, headers: Headers | None = None, key: bytes | None = b"audio-in/a.wav") -> Record:
    return Record("topic", 3, 42, key, value, headers or [], 1_700_000_000_000)


def dead(message: str = "the content is of no kind that can be decoded", value: bytes = b'{"not": "ours"}') -> Record:
    headers = letter_headers(
        partition=1, offset=7, delivery_count=1, error=NotMedia(message), recording_id="audio-in/broken.mp3"
    )
    return record(value, headers)


def shown(each: Record, *, is_dead: bool = False, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, force_terminal=colour, color_system="standard" if colour else None)
    _terminal_line(console)(each, is_dead)
    return stream.getvalue()


def json_line(each: Record, capsys: pytest.CaptureFixture[str], *, is_dead: bool = False) -> dict[str, object]:
    _json_line(each, is_dead)
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_a_transcript_on_a_terminal() -> None:
    moment = datetime.fromtimestamp(1_700_000_000).astimezone()
    line = shown(record(HELLO.to_bytes()))
    assert line.split() == [f"{moment:%H:%M:%S}", "audio-in/a", "b+c.wav", "1:01", "你好。"]


def test_a_long_transcript_is_one_line_with_an_ellipsis() -> None:
    line = shown(record(transcript_of([span("字 " * 500)]).to_bytes()))
    assert line.count("\n") == 1
    assert line.rstrip().endswith("…")
    assert len(line) <= WIDTH


def test_silence_on_a_terminal() -> None:
    assert "(no speech)" in shown(record(transcript_of([]).to_bytes()))


def test_a_stored_transcript_is_its_text_or_the_way_there(capsys: pytest.CaptureFixture[str]) -> None:
    stored = StoredTranscript("s3://kept/ab.json", 9, "a" * 64)
    assert "你好。" in shown(record(reference(HELLO, stored, text=True).to_bytes()))
    without = record(reference(HELLO, stored, text=False).to_bytes())
    assert "(too long for an event; see s3://kept/ab.json)" in shown(without)
    line = json_line(without, capsys)
    assert isinstance(line["transcript"], dict)
    assert line["transcript"]["transcript_uri"] == stored.uri


def test_a_dead_letter_is_red_and_has_its_class_and_reason() -> None:
    line = shown(dead(), is_dead=True, colour=True)
    assert "\x1b[1;31m" in line
    assert "not_media" in line
    assert "of no kind" in line
    assert "audio-in/broken.mp3" in line


def test_what_is_no_transcript_is_named() -> None:
    assert "topic[3] 42 is no transcript" in shown(record(b"not json"))
    assert "topic[3] 42 is no transcript" in shown(record(None))


def test_a_dead_letter_of_nobody_is_shown_as_far_as_it_goes() -> None:
    line = shown(record(b"x"), is_dead=True)
    assert "topic[3] 42" in line
    assert "unknown" in line
    assert "no reason" in line


def test_nothing_commands_the_terminal() -> None:
    line = shown(dead("evil \x1b]0;title\x07 \x1b[2J message"), is_dead=True)
    assert "\x1b" not in line
    assert printable("a\x1b[2Jb\r\nc\u202e听写") == "a�[2Jb��c�听写"


def test_a_transcript_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = json_line(record(HELLO.to_bytes()), capsys)
    assert line == {
        "topic": "topic",
        "partition": 3,
        "offset": 42,
        "timestamp_ms": 1_700_000_000_000,
        "key": "audio-in/a.wav",
        "transcript": json.loads(HELLO.to_bytes()),
    }


def test_a_dead_letter_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = json_line(dead(value=b"\xff"), capsys, is_dead=True)
    assert line["value"] == "�"
    assert line["dead_letter"] == {
        "class": "not_media",
        "stage": "decode",
        "message": "the content is of no kind that can be decoded",
        "retryable": False,
        "recording": "audio-in/broken.mp3",
        "topic": "audio-uploaded",
        "partition": 1,
        "offset": 7,
        "delivery_count": 1,
    }


def test_other_records_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_line(record(b"not json", key=None), capsys)["value"] == "not json"
    assert json_line(record(None), capsys)["value"] is None


@pytest.mark.parametrize("name", ["short.wav", "x" * 29, "x" * 30, "x" * 31, "录音" * 20, "录" * 15, "a" + "录" * 15])
def test_object_names_take_one_width_and_keep_their_end(name: str) -> None:
    cut = fit(name, OBJECT_WIDTH)
    assert Console(width=80).measure(cut).maximum == OBJECT_WIDTH or cut.rstrip() == name
    assert name.endswith(cut.strip().removeprefix("…"))


@pytest.mark.parametrize(("ms", "clock"), [(0, "0:00"), (59_400, "0:59"), (61_000, "1:01"), (3_723_000, "1:02:03")])
def test_durations(ms: int, clock: str) -> None:
    assert _clock(ms) == clock
