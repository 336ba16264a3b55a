from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from consumer.commands import letter_views
from consumer.commands.letters import Letter, Selection
from consumer.errors import BrokerUnavailable, NotMedia
from consumer.kafka.records import Record
from consumer.settings import KafkaSettings, Settings
from tests.unit.events.letters import letter_headers


def letter(message: str, recording: str, redrives: int = 0) -> Letter:
    told = letter_headers([("tingxie-redrives", b"%d" % redrives)], error=NotMedia(message), recording_id=recording)
    return Letter.of(Record("dead", 2, 41, b"k", b"{}", told, 1_795_000_000_000))


def shown(*rows: tuple[Letter, bool], width: int = 140) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False)
    for line in (letter_views._head(), *(letter_views._row(*row) for row in rows)):
        console.print(line, no_wrap=True, overflow="ellipsis")
    return file.getvalue()


def test_the_table_tells_of_each_letter_where_when_what_and_why() -> None:
    text = shown(
        (letter("nothing to decode", "audio-in/a.wav", redrives=2), True), (letter("two", "audio-in/b.wav"), False)
    )
    head, first, second = text.splitlines()
    assert head.split() == ["place", "time", "class", "stage", "redrives", "recording", "message"]
    assert first.split()[0] == "2:41"
    assert first.split()[3:] == ["not_media", "decode", "2", "+1", "audio-in/a.wav", "nothing", "to", "decode"]
    assert second.split()[3:] == ["not_media", "decode", "0", "audio-in/b.wav", "two"]


def test_what_others_wrote_neither_commands_the_terminal_nor_widens_the_table() -> None:
    text = shown((letter("[red]" + "x" * 300 + "\x1b[2J\n", "y" * 90 + "[bold]/日本.wav"), False), width=120)
    assert "\x1b" not in text
    assert "[red]" in text
    assert "y[bold]/日本.wav" in text
    assert len(text.splitlines()) == 2
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"3", "3"), ("日本".encode(), "日本"), (b"\x00\x00\x00\x03", "0x00000003"), (b"\xff", "0xff"), (None, "")],
)
def test_a_header_is_shown_as_text_or_in_hexadecimal(value: bytes | None, text: str) -> None:
    assert letter_views._header(value) == text


def test_an_event_is_shown_as_it_is_when_it_is_no_json() -> None:
    assert letter_views._event('{"key": "日本"}'.encode()) == '{\n  "key": "日本"\n}'
    assert letter_views._event(b"one\x1b[2J\ntwo") == "one�[2J\ntwo"
    assert letter_views._event(None) == "(no value)"


def test_an_export_that_fails_leaves_no_file_in_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object) -> Iterator[Letter]:
        yield letter("one", "audio-in/a.wav")
        raise BrokerUnavailable("broker gone")

    file = tmp_path / "letters.jsonl"
    settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", startup_timeout_s=0.1))
    with pytest.raises(BrokerUnavailable, match="no broker answered"):
        letter_views.export_letters(settings, Selection(), file)
    assert not file.exists()
    monkeypatch.setattr(letter_views, "SpanReader", lambda _: io.BytesIO())
    monkeypatch.setattr(letter_views, "selected", broken)
    with pytest.raises(BrokerUnavailable, match="gone"):
        letter_views.export_letters(settings, Selection(), file)
    assert not file.exists()
