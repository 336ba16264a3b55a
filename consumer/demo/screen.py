"""Two ways to follow the demo: a live table on a terminal, a line for each end anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from consumer.demo.board import Board, Row
from consumer.demo.output import chatter
from consumer.demo.table import picture, plain, table

FRAME_S = 0.1
"""A new picture at most so often."""


class Screen(Protocol):
    """Called from one thread."""

    live: bool

    def say(self, line: Text) -> None:
        """Write a line that stays."""

    def draw(self, board: Board, status: str, now: float) -> None:
        """Show what is going on; ``status`` says it in a few words."""

    def over(self, row: Row, number: int, of: int | None) -> None:
        """A recording is over, the ``number``-th; of so many, or one that is written down and leaves the picture."""

    def settle(self, board: Board, now: float) -> None:
        """Leave the final table; nothing is drawn until the next `draw`."""


class PlainScreen:
    """Lines, for logs."""

    live = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._status = ""

    def say(self, line: Text) -> None:
        """See `Screen`."""
        self._stream.write(f"{line.plain}\n")

    def draw(self, board: Board, status: str, now: float) -> None:
        """See `Screen`; writes the status when it changes."""
        if status != self._status:
            self._status = status
            self._stream.write(f"{status} …\n")

    def over(self, row: Row, number: int, of: int | None) -> None:
        """See `Screen`."""
        self._stream.write(f"{plain(row, number, of)}\n")

    def settle(self, board: Board, now: float) -> None:
        """See `Screen`; all has been written."""


class LiveScreen:
    """A table that is drawn again and again in place."""

    live = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None
        self._headed = False  # whether rows with a header stand right above the picture
        self._drawn_s = float("-inf")

    def say(self, line: Text) -> None:
        """See `Screen`."""
        self._console.print(line, highlight=False)

    def draw(self, board: Board, status: str, now: float) -> None:
        """See `Screen`; does nothing when the last picture is younger than `FRAME_S`."""
        if now - self._drawn_s < FRAME_S:
            return
        self._drawn_s = now
        rows = self._visible(list(board.rows.values()))
        width = self._console.width
        grid = table(rows, width=width, now=now, full=False, header=not self._headed) if rows else None
        self._show(picture(grid, board.totals, status, self._spinner))

    def over(self, row: Row, number: int, of: int | None) -> None:
        """See `Screen`; one of a known number stays in the table."""
        if of is None:
            grid = table([row], width=self._console.width, now=0.0, full=True, header=not self._headed)
            self._headed = True
            self._console.print(grid)

    def settle(self, board: Board, now: float) -> None:
        """See `Screen`."""
        rows = list(board.rows.values())
        self._show(table(rows, width=self._console.width, now=now, full=True) if rows else Text())
        self.close()

    def close(self) -> None:
        """End the picture where it is; the next one begins below."""
        if self._live is not None:
            self._live.stop()
        self._live = None
        self._drawn_s = float("-inf")

    def _show(self, renderable: RenderableType) -> None:
        if self._live is None:
            # Drawn by the caller's thread alone, which also owns the board. The streams are taken care of elsewhere.
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        self._live.update(renderable, refresh=True)

    def _visible(self, rows: list[Row]) -> list[Row]:
        """As many of the newest rows as the terminal has lines for."""
        return rows[-max(1, self._console.height - 5) :]


@contextmanager
def open_screen(stream: TextIO) -> Iterator[Screen]:
    """The screen that fits the stream."""
    console = Console(file=stream)
    if not console.is_terminal or console.is_dumb_terminal:
        yield PlainScreen(stream)
        return
    live = LiveScreen(console)
    with chatter(lambda line: console.print(Text(line, style="dim"))):
        try:
            yield live
        finally:
            live.close()
