"""How the demo looks on a terminal: a row for each recording, totals below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from consumer.demo.board import WORK, Row, Totals
from consumer.errors import RecordingError
from consumer.events.transcript import Transcript

WIDE = 112
"""Columns from which there is room for the drawn progress and the recording's format."""
NAME_CELLS, NAME_CELLS_NARROW = 24, 18
FORMAT_CELLS = 20
STAGE_CELLS, STAGE_CELLS_NARROW = 14, 13
TIME_CELLS = 6
_STYLES = {
    "uploaded": "dim",
    "fetch": "cyan",
    "decode": "cyan",
    "engine": "yellow",
    "publish": "cyan",
    "done": "green",
    "no speech": "blue",
    "dead letter": "red",
    "not taken": "red",
}
_CLOSING = frozenset("，。、；：？！）》”’…,.;:?!)")
_OPENING = frozenset("（《“‘(")
_MARKS = {"done": "✔", "no speech": "✔", "dead letter": "✘", "not taken": "✘"}


def table(rows: Sequence[Row], *, width: int, now: float, full: bool, header: bool = True) -> Table:
    """The recordings.

    All columns but the last have a fixed width, so that tables printed one after the other are one table to the eye.

    Args:
        rows: in order.
        width: of the terminal, in cells.
        now: monotonic seconds, for the time of what is still in work.
        full: show whole transcripts on as many lines as they need; otherwise a line for each row.
        header: whether the columns are named.
    """
    wide = width >= WIDE
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True, header_style="dim", show_header=header)
    grid.add_column("recording", no_wrap=True, overflow="ellipsis", width=NAME_CELLS if wide else NAME_CELLS_NARROW)
    if wide:
        grid.add_column("format", no_wrap=True, overflow="ellipsis", style="dim", width=FORMAT_CELLS)
    grid.add_column("audio", no_wrap=True, justify="right", width=TIME_CELLS)
    grid.add_column("stage", no_wrap=True, width=STAGE_CELLS if wide else STAGE_CELLS_NARROW)
    grid.add_column("took", no_wrap=True, justify="right", width=TIME_CELLS)
    grid.add_column("transcript", ratio=1, no_wrap=not full, overflow="fold" if full else "ellipsis")
    for row in rows:
        cells: list[RenderableType] = [Text(row.key)]
        if wide:
            cells.append(Text(described_format(row)))
        words = outcome(row)
        cells += [
            Text(seconds(row.audio_s)),
            progress(row, wide=wide),
            Text(seconds(row.took_s(now)), style="" if row.over else "dim"),
            Folded(words.plain) if full and row.state == "done" else words,
        ]
        grid.add_row(*cells)
    return grid


def progress(row: Row, *, wide: bool) -> Text:
    """The stage it is in, on a wide terminal with the way behind and before it."""
    style = _STYLES[row.state]
    if row.state in _MARKS:
        return Text(f"{_MARKS[row.state]} {row.state}", style=style)
    if not wide:
        return Text(row.state, style=style)
    reached = WORK.index(row.state)
    drawn = Text("━" * (reached + 1), style=style)
    drawn.append("━" * (len(WORK) - reached - 1), style="bright_black")
    return drawn.append(f" {row.state}")


def outcome(row: Row) -> Text:
    """Its transcript, or why there is none."""
    if row.result is None:
        return Text(row.note, style="yellow")
    if isinstance(row.result, RecordingError):
        return Text.assemble((row.result.code, "red"), (f"  {reason(row)}", "dim"))
    if row.result.status == "no_speech":
        return Text("nobody speaks", style="dim italic")
    return Text(row.result.text)


@dataclass(frozen=True, slots=True)
class Folded:
    """Text on as many lines as it needs; unlike rich's own folding, no line begins with a mark that closes another."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(fold(self.text, options.max_width)))


def fold(text: str, cells: int) -> list[str]:
    """Lines of so many cells at most, cut where Chinese text or a space allows it, or else anywhere."""
    lines: list[str] = []
    start, place, width = 0, 0, 0
    for index, character in enumerate(text):
        if index > start and _may_cut(text[index - 1], character):
            place = index
        size = cell_len(character)
        while width + size > cells and index > start:
            cut = place if place > start else index
            lines.append(text[start:cut].rstrip())
            start = cut
            width = cell_len(text[start:index])
        width += size
    return [*lines, text[start:]]


def _may_cut(before: str, after: str) -> bool:
    if after in _CLOSING or before in _OPENING or after == " ":
        return False
    return before == " " or not (before.isascii() and after.isascii())


def reason(row: Row) -> str:
    """The message of its error, without the object's name that stands beside it; "" when there is none."""
    if not isinstance(row.result, RecordingError):
        return ""
    message = str(row.result)
    _, found, rest = message.partition(f"{row.key}: ")
    return rest if found else message


def described_format(row: Row) -> str:
    """Codec, rate and channels of the recording, once they are known."""
    if not isinstance(row.result, Transcript):
        return ""
    source = row.result.source
    channels = {1: "mono", 2: "stereo"}.get(source.channels, f"{source.channels} ch")
    codec = source.codec.partition("_")[0]  # pcm, amr and adpcm have many
    return f"{codec} {source.sample_rate / 1000:g} kHz {channels}"


def seconds(value: float | None) -> str:
    """For people: tenths below 100 s, then minutes and seconds."""
    if value is None:
        return "–"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}:{rest:02d}"


def totals_line(totals: Totals) -> Text:
    """Counts, audio time, and how many times faster than real time."""
    line = Text()
    line.append(counted(totals.transcripts, "transcript"), style="green" if totals.transcripts else "dim")
    line.append(f" · {totals.no_speech} silent", style="blue" if totals.no_speech else "dim")
    line.append(f" · {counted(totals.dead_letters, 'dead letter')}", style="red" if totals.dead_letters else "dim")
    line.append(f" · {seconds(totals.audio_s)} of audio")
    if totals.speed:
        line.append(f", {totals.speed:.1f} × real time", style="bold")
    return line


def counted(number: int, what: str) -> str:
    """``1 transcript``, ``2 transcripts``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def picture(body: Table | None, totals: Totals, status: str, spinner: Spinner) -> Group:
    """The live picture: recordings, totals, and what is going on now."""
    spinner.update(text=Text(status))
    parts: list[RenderableType] = [] if body is None else [body, Text()]
    if totals != Totals():
        parts.append(totals_line(totals))
    return Group(*parts, spinner)


def plain(row: Row, number: int, of: int | None) -> str:
    """A recording that is over, as one line for a log."""
    count = f"[{number:>{len(str(of))}}/{of}]" if of else f"[{number}]"
    times = f"{seconds(row.audio_s):>6} audio {seconds(row.took_s(0.0)):>6}"
    head = f"{count} {row.state:<11} {_padded(row.key)} {times}"
    said = f"{row.result.code}: {reason(row)}" if isinstance(row.result, RecordingError) else outcome(row).plain
    return f"{head}: {said}"


def _padded(name: str) -> str:
    return name + " " * max(0, NAME_CELLS - cell_len(name))
