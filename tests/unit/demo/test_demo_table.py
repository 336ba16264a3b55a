from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.spinner import Spinner

from consumer.demo.board import Board, Row, Totals
from consumer.demo.table import described_format, fold, picture, plain, reason, seconds, table, totals_line
from consumer.errors import NotMedia
from consumer.events.transcript import Transcript

Transcribed = Callable[..., Transcript]
LONG = "请把合同发给客户，明天上午十点我们在会议室见面，讨论下一步的工作计划，然后再决定价格。"


def lines(renderable: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue().splitlines()


def rows(transcribed: Transcribed) -> list[Row]:
    return [
        Row("long.mp3", "done", 0.0, 2.0, transcribed(LONG, codec="mp3", sample_rate=44_100, channels=2)),
        Row("录音 2026-11-23 会议记录第一部分.ogg", "engine", 0.0),
        Row("broken.wav", "dead letter", 0.0, 0.1, NotMedia("audio-in/broken.wav: no container known")),
        Row("quiet.flac", "no speech", 0.0, 1.0, transcribed("", codec="flac")),
        Row("late.wav", "fetch", 0.0, note="try 1 failed: storage_unavailable"),
    ]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_every_row_is_one_line_while_it_goes_on(transcribed: Transcribed, width: int) -> None:
    shown = lines(table(rows(transcribed), width=width, now=3.0, full=False), width)
    assert len(shown) == 1 + 5
    assert all(cell_len(line) <= width for line in shown)
    assert "请把合同发给客户" in shown[1]
    assert "engine" in shown[2]
    assert "3.0 s" in shown[2]
    assert "not_media" in shown[3]
    assert "nobody speaks" in shown[4]
    assert "try 1 failed" in shown[5]


@pytest.mark.parametrize("width", [80, 120])
def test_the_final_table_keeps_every_character(transcribed: Transcribed, width: int) -> None:
    shown = lines(table(rows(transcribed)[:1], width=width, now=3.0, full=True), width)
    assert "".join("".join(shown).split()).endswith(LONG.replace(" ", ""))  # only that row's last column is folded
    assert all(cell_len(line) <= width for line in shown)


@pytest.mark.parametrize(
    ("text", "cells", "folded"),
    [
        ("今天开会。", 10, ["今天开会。"]),
        ("今天下午开会。", 12, ["今天下午开", "会。"]),  # 。 alone would begin the second line
        ("他说（好的）", 6, ["他说", "（好", "的）"]),
        ("打开app看看", 5, ["打开", "app看", "看"]),
        ("hello world", 8, ["hello", "world"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("", 5, [""]),
    ],
)
def test_text_is_folded_where_chinese_allows_it(text: str, cells: int, folded: list[str]) -> None:
    assert fold(text, cells) == folded


@given(st.text(alphabet="今天开会。，？（）ab ", max_size=60), st.integers(4, 20))
def test_folding_loses_nothing_and_fits(text: str, cells: int) -> None:
    folded = fold(text, cells)
    assert "".join("".join(folded).split()) == "".join(text.split())
    assert all(cell_len(line.rstrip()) <= cells for line in folded)


@pytest.mark.parametrize("width", [80, 120])
def test_tables_printed_one_after_the_other_are_aligned(transcribed: Transcribed, width: int) -> None:
    first, *_, last = rows(transcribed)
    long = lines(table([first], width=width, now=0.0, full=False), width)
    short = lines(table([last], width=width, now=0.0, full=False, header=False), width)
    assert len(short) == 1
    assert long[0].index("transcript") == short[0].index("try 1")


def test_wide_terminals_show_the_format(transcribed: Transcribed) -> None:
    assert "mp3 44.1 kHz stereo" in lines(table(rows(transcribed), width=120, now=0.0, full=False), 120)[1]
    assert "44.1" not in lines(table(rows(transcribed), width=80, now=0.0, full=False), 80)[1]


@pytest.mark.parametrize(
    ("codec", "rate", "channels", "described"),
    [
        ("pcm_s16le", 16_000, 1, "pcm 16 kHz mono"),
        ("amr_nb", 8_000, 1, "amr 8 kHz mono"),
        ("opus", 48_000, 6, "opus 48 kHz 6 ch"),
    ],
)
def test_format(transcribed: Transcribed, codec: str, rate: int, channels: int, described: str) -> None:
    row = Row("x", result=transcribed("好", codec=codec, sample_rate=rate, channels=channels))
    assert described_format(row) == described
    assert described_format(Row("x")) == ""


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.04, "0.0 s"), (99.94, "99.9 s"), (99.96, "1:40"), (184.0, "3:04")]
)
def test_seconds(value: float | None, shown: str) -> None:
    assert seconds(value) == shown
    assert cell_len(shown) <= 6


def test_a_reason_does_not_repeat_the_name() -> None:
    assert reason(Row("a.wav", result=NotMedia("audio-in/a.wav: no sound: none"))) == "no sound: none"
    assert reason(Row("a.wav", result=NotMedia("something else"))) == "something else"


def test_totals_fit_a_narrow_terminal() -> None:
    line = totals_line(Totals(transcripts=12, no_speech=1, dead_letters=1, audio_s=98.4, busy_s=8.0)).plain
    assert line == "12 transcripts · 1 silent · 1 dead letter · 98.4 s of audio, 12.3 × real time"
    assert cell_len(line) <= 80
    assert totals_line(Totals()).plain == "0 transcripts · 0 silent · 0 dead letters · 0.0 s of audio"


def test_a_line_for_logs(transcribed: Transcribed) -> None:
    done, _, broken, quiet, _ = rows(transcribed)
    assert plain(done, 1, 12) == f"[ 1/12] done        long.mp3                  1.0 s audio  2.0 s: {LONG}"
    assert plain(broken, 12, 12).endswith(": not_media: no container known")
    assert plain(quiet, 3, None).startswith("[3] no speech   quiet.flac ")


def test_the_picture_says_what_goes_on() -> None:
    board = Board()
    shown = lines(picture(None, board.totals, "loading", Spinner("dots")), 80)
    assert len(shown) == 1
    assert "loading" in shown[0]
    board.uploaded("a.wav")
    grid = table(list(board.rows.values()), width=80, now=0.0, full=False)
    shown = lines(picture(grid, Totals(transcripts=1, audio_s=1, busy_s=1), "working", Spinner("dots")), 80)
    assert [line.split()[0] for line in shown if line][:3] == ["recording", "a.wav", "1"]
