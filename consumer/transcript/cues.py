"""From segments to subtitle cues.

1. A cue holds words of one segment: at most two lines of 20 Chinese characters or 42 ASCII columns, and 7 seconds, the
   limits broadcasters use. A word that breaks a limit by itself has a cue for itself.
2. Where a segment needs several cues, they are cut after punctuation if that leaves them of similar size; the best
   cuts are found by dynamic programming, as TeX breaks a paragraph into lines (Knuth and Plass, 1981).
3. Cues never overlap: one ends at the latest when the next begins. When several channels speak at once, the later cue
   waits until the earlier was shown for a second.
4. A short cue stays for a second where nothing else is said.
"""

from __future__ import annotations

import bisect
import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from consumer.events.transcript import Segment, Transcript

CUE_MS = 7_000
"""Longest cue."""
LINES = 2
"""Most lines of a cue."""
SHOWN_MS = 1_000
"""Shortest time that lets a reader notice a cue."""

# Widths in tenths of an ASCII column, so that 42 ASCII columns and 20 Chinese characters are the same line.
LINE_WIDTH = 420
NARROW, WIDE = 10, 21

UNMARKED_CUT = 0.5
"""Cost of a cut inside a phrase, against the squared share of space that a cue or line leaves unused."""

_UNITS = re.compile(r"\s*(?:[!-~]+|\w)[^\w\s!-~]*|\s*[^\w\s]+")
"""In text without word times: a run of ASCII or one character, with the marks that follow."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at once.

    Attributes:
        channel: who speaks.
        start_ms: when it appears.
        end_ms: when it goes; after ``start_ms``.
        lines: at least one.
    """

    channel: int
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A word with the marks that follow; never broken."""

    text: str
    spaced: bool
    start_ms: int
    end_ms: int

    @property
    def marked(self) -> bool:
        return not self.text[-1].isalnum()


def cues(transcript: Transcript, label: Callable[[int], str] | None = None) -> list[Cue]:
    """Cues of a transcript by time.

    Args:
        transcript: with segments; their words are used where there are any, else times are interpolated by length.
        label: what the caller will write before the text of a channel's cue, so that it is given room.
    """
    found: list[Cue] = []
    for segment in transcript.segments:
        layout = _Layout(_units(segment), _width(label(segment.channel)) if label else 0)
        for begin, end in layout.parts():
            start_ms, end_ms = layout.units[begin].start_ms, layout.reach[end]
            found.append(Cue(segment.channel, start_ms, end_ms, layout.lines(begin, end)))
    return _apart(sorted(found, key=lambda cue: cue.start_ms), transcript.duration_ms)


def _units(segment: Segment) -> list[_Unit]:
    return _from_words(segment) or _interpolated(segment)


def _from_words(segment: Segment) -> list[_Unit]:
    """Words with the marks the text has between them; nothing when the text does not hold the words."""
    text, end = segment.text, 0
    units: list[_Unit] = []
    for word in segment.words:
        begin = text.find(word.text, end)
        if begin < 0:
            return []
        between = text[end:begin]
        if units:
            units[-1] = replace(units[-1], text=units[-1].text + between.strip())
        spaced = bool(units) and between.endswith(" ")
        units.append(_Unit(("" if units else between) + word.text, spaced, word.start_ms, word.end_ms))
        end = begin + len(word.text)
    if units:
        units[-1] = replace(units[-1], text=units[-1].text + text[end:].strip())
    return units


def _interpolated(segment: Segment) -> list[_Unit]:
    length = max(1, len(segment.text))
    span = segment.end_ms - segment.start_ms
    return [
        _Unit(
            text=match.group().strip(),
            spaced=match.group()[0].isspace(),
            start_ms=segment.start_ms + span * match.start() // length,
            end_ms=segment.start_ms + span * match.end() // length,
        )
        for match in _UNITS.finditer(segment.text)
    ]


def _width(text: str) -> int:
    return sum(WIDE if unicodedata.east_asian_width(character) in "WF" else NARROW for character in text)


class _Layout:
    """Where a segment's units can be cut; stretches of units are half-open ranges.

    Attributes:
        units: of the segment.
        reach: ``reach[i]`` is when the first i units have all been said.
    """

    def __init__(self, units: Sequence[_Unit], room: int) -> None:
        """Measure units; ``room`` is taken from the first line of each cue."""
        self.units = units
        self.reach = list(itertools.accumulate((unit.end_ms for unit in units), max, initial=0))
        self._room = room
        self._offsets = list(
            itertools.accumulate((_width(unit.text) + unit.spaced * NARROW for unit in units), initial=0)
        )

    def parts(self) -> list[tuple[int, int]]:
        """The units of each cue: as few cues as possible, then the cheapest cuts."""
        # best[i]: (cues, cost, where the last cue begins) of the first i units.
        best: list[tuple[int, float, int]] = [(0, 0.0, 0)]
        for end in range(1, len(self.units) + 1):
            choices = []
            for begin in range(end - 1, -1, -1):
                if not self._fits(begin, end) and begin < end - 1:
                    break  # longer ones do not fit either
                cost = _waste(self._width(begin, end), LINES * LINE_WIDTH) + self._cut_cost(end)
                choices.append((best[begin][0] + 1, best[begin][1] + cost, begin))
            best.append(min(choices))
        parts: list[tuple[int, int]] = []
        end = len(self.units)
        while end > 0:
            begin = best[end][2]
            parts.append((begin, end))
            end = begin
        return parts[::-1]

    def lines(self, begin: int, end: int) -> tuple[str, ...]:
        """The text of a cue: one line where it fits, else two of similar width."""
        if self._room + self._width(begin, end) <= LINE_WIDTH:
            return (self._text(begin, end),)
        breaks = [middle for middle in range(begin + 1, end) if self._holds(begin, middle, end)]
        if not breaks:
            return (self._text(begin, end),)
        middle = min(breaks, key=lambda middle: self._line_cost(begin, middle, end))
        return self._text(begin, middle), self._text(middle, end)

    def _fits(self, begin: int, end: int) -> bool:
        if self.reach[end] - self.units[begin].start_ms > CUE_MS:
            return False
        if self._room + self._width(begin, end) <= LINE_WIDTH:
            return True
        # The fullest first line leaves the least for the second.
        fullest = self._offsets[begin] + self.units[begin].spaced * NARROW + LINE_WIDTH - self._room
        middle = bisect.bisect_right(self._offsets, fullest, begin + 1, end + 1) - 1
        return middle < end and self._holds(begin, middle, end)

    def _holds(self, begin: int, middle: int, end: int) -> bool:
        """Whether both lines are within the limit."""
        if not begin < middle < end:
            return False
        return self._room + self._width(begin, middle) <= LINE_WIDTH and self._width(middle, end) <= LINE_WIDTH

    def _line_cost(self, begin: int, middle: int, end: int) -> float:
        lines = (self._room + self._width(begin, middle), self._width(middle, end))
        return sum(_waste(width, LINE_WIDTH) for width in lines) + self._cut_cost(middle)

    def _cut_cost(self, at: int) -> float:
        return 0.0 if at == len(self.units) or self.units[at - 1].marked else UNMARKED_CUT

    def _width(self, begin: int, end: int) -> int:
        return self._offsets[end] - self._offsets[begin] - self.units[begin].spaced * NARROW

    def _text(self, begin: int, end: int) -> str:
        return "".join(" " * unit.spaced + unit.text for unit in self.units[begin:end]).strip()


def _waste(width: int, room: int) -> float:
    """Squared share of the room that is not used; squares make parts of one size cheapest."""
    return (1 - min(1.0, width / room)) ** 2


def _apart(found: Sequence[Cue], duration_ms: int) -> list[Cue]:
    starts: list[int] = []
    free = 0
    for cue in found:
        start = max(cue.start_ms, free)
        starts.append(start)
        free = start + max(1, min(cue.end_ms - cue.start_ms, SHOWN_MS))
    limits = [*starts[1:], max(duration_ms, free)]
    return [
        replace(cue, start_ms=start, end_ms=min(max(cue.end_ms, start + SHOWN_MS), limit))
        for cue, start, limit in zip(found, starts, limits, strict=False)
    ]
