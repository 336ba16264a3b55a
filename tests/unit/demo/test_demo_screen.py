from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from consumer.demo.board import Board
from consumer.demo.screen import LiveScreen, PlainScreen
from consumer.errors import NotMedia
from consumer.events.transcript import Transcript
from consumer.pipeline.observer import Ended

UP = "\x1b[1A"
"""Cursor up: what a live picture does before it is drawn again."""

CHATTER = """
import os, subprocess, sys
from consumer.demo.output import chatter, own_stdout
lines = []
with own_stdout() as stream:
    print("python to stdout")
    os.write(1, b"library to 1\\n")
    stream.write("for people\\n")
    with chatter(lines.append):
        print("caught: stdout")
        print("caught: stderr", file=sys.stderr)
        subprocess.run([sys.executable, "-c", "print('caught: child')"], check=True)
    stream.write(f"{len(lines)} lines: {sorted(lines)}\\n")
print("after")
"""


def board_of(key: str, transcript: Transcript) -> Board:
    board = Board()
    board.uploaded(key)
    board.admitted(1, key, 0.0)
    board.ended(Ended(tag=1, recording=None, result=transcript, attempts=1, stage_ms={}), 1.0)
    board.acknowledged(1, 1.0)
    return board


def test_plain_lines_say_each_thing_once(transcribed: Callable[..., Transcript]) -> None:
    stream = io.StringIO()
    screen = PlainScreen(stream)
    board = board_of("a.wav", transcribed("你好。"))
    for status in ("loading", "loading", "transcribing", "transcribing"):
        screen.draw(board, status, 0.0)
    screen.over(board.rows["a.wav"], 1, 2)
    screen.settle(board, 1.0)
    screen.say(Text("the end", style="bold"))
    assert stream.getvalue().splitlines() == [
        "loading …",
        "transcribing …",
        "[1/2] done        a.wav                     1.0 s audio  1.0 s: 你好。",
        "the end",
    ]


def test_a_new_picture_leaves_alone_what_stands_above_it(transcribed: Callable[..., Transcript]) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=24, color_system=None)
    screen = LiveScreen(console)
    board = board_of("a.wav", transcribed("你好。"))
    screen.draw(board, "first", 0.0)
    screen.draw(board, "too early", 0.05)
    screen.draw(board, "second", 1.0)
    assert UP in stream.getvalue()
    assert "too early" not in stream.getvalue()
    screen.settle(board, 2.0)
    screen.say(Text("must stay"))

    before = len(stream.getvalue())
    screen.draw(Board(), "watching", 3.0)
    written = stream.getvalue()[before:]
    assert "watching" in written
    assert UP not in written
    screen.close()
    assert stream.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_a_dropped_file_is_written_down(transcribed: Callable[..., Transcript]) -> None:
    stream = io.StringIO()
    screen = LiveScreen(Console(file=stream, force_terminal=True, width=80, height=24, color_system=None))
    board = board_of("a.wav", transcribed("你好。"))
    screen.over(board.rows["a.wav"], 1, 5)
    assert stream.getvalue() == ""
    screen.over(board.rows["a.wav"], 1, None)
    screen.over(board.rows["a.wav"], 2, None)
    head, *rows = stream.getvalue().splitlines()
    assert head.split() == ["recording", "audio", "stage", "took", "transcript"]
    assert [line.split()[0] for line in rows] == ["a.wav", "a.wav"]


def test_the_newest_rows_are_shown_when_there_are_more_than_lines() -> None:
    stream = io.StringIO()
    screen = LiveScreen(Console(file=stream, force_terminal=True, width=80, height=15, color_system=None))
    board = Board()
    for number in range(40):
        board.refused(f"{number:02}.wav", str(NotMedia("no")), 0.0)
    screen.draw(board, "working", 0.0)
    shown = [line.split()[0] for line in stream.getvalue().splitlines() if ".wav" in line]
    assert shown == [f"{number:02}.wav" for number in range(30, 40)]
    screen.close()


def test_only_the_demo_itself_writes_to_stdout(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", CHATTER], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    caught = ["caught: child", "caught: stderr", "caught: stdout"]
    assert done.stdout.splitlines() == ["for people", f"3 lines: {caught}", "after"]
    assert done.stderr.splitlines() == ["python to stdout", "library to 1"]
