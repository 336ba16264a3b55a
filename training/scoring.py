"""Character error rate and punctuation accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.vocabulary import MARKS, SENTENCE_ENDS, strip_marks


def edit_distance(wanted: str, given: str) -> int:
    """Insertions, deletions and substitutions that make `given` of `wanted`."""
    row = list(range(len(given) + 1))
    for i, expected in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(given, 1):
            cost = min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != found))
            diagonal, row[j] = row[j], cost
    return row[-1]


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Errors among characters."""

    errors: int = 0
    characters: int = 0

    def __add__(self, other: ErrorRate) -> ErrorRate:
        return ErrorRate(self.errors + other.errors, self.characters + other.characters)

    @property
    def rate(self) -> float:
        """Errors per character."""
        return self.errors / max(1, self.characters)


def character_errors(pairs: Iterable[tuple[str, str]]) -> ErrorRate:
    """The errors of (wanted, given) texts, punctuation and spaces ignored."""
    total = ErrorRate()
    for wanted, given in pairs:
        expected = strip_marks(wanted)
        total += ErrorRate(edit_distance(expected, strip_marks(given)), len(expected))
    return total


def align(wanted: Sequence[str], given: Sequence[str]) -> dict[int, int]:
    """For each character of `wanted` that has a counterpart in `given`, the index of it, along a shortest edit."""
    costs = [[i + j if not i or not j else 0 for j in range(len(given) + 1)] for i in range(len(wanted) + 1)]
    for i, expected in enumerate(wanted, 1):
        for j, found in enumerate(given, 1):
            replaced = costs[i - 1][j - 1] + (expected != found)
            costs[i][j] = min(costs[i - 1][j] + 1, costs[i][j - 1] + 1, replaced)
    pairs: dict[int, int] = {}
    i, j = len(wanted), len(given)
    while i and j:
        if costs[i][j] == costs[i - 1][j - 1] + (wanted[i - 1] != given[j - 1]):
            i, j = i - 1, j - 1
            pairs[i] = j
        elif costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return pairs


def marks_by_position(text: str) -> tuple[str, dict[int, str]]:
    """The characters of a text without its marks, and the mark after each character that has one."""
    characters: list[str] = []
    marks: dict[int, str] = {}
    for character in text:
        if character in MARKS:
            marks[len(characters) - 1] = character
        elif not character.isspace():
            characters.append(character)
    return "".join(characters), marks


@dataclass(frozen=True, slots=True)
class SentenceEnds:
    """Sentence ends of the truth, how many have the right mark in the right place, and ends that are not in it."""

    expected: int = 0
    right: int = 0
    unexpected: int = 0

    def __add__(self, other: SentenceEnds) -> SentenceEnds:
        return SentenceEnds(
            self.expected + other.expected, self.right + other.right, self.unexpected + other.unexpected
        )

    @property
    def accuracy(self) -> float:
        """The share of sentence ends that are right."""
        return self.right / max(1, self.expected)


def sentence_ends(wanted: str, given: str) -> SentenceEnds:
    """Compares the sentence ends of two texts; a misheard character does not move them."""
    expected_text, expected = marks_by_position(wanted)
    given_text, found = marks_by_position(given)
    counterpart = align(expected_text, given_text)
    ends = {index: mark for index, mark in expected.items() if mark in SENTENCE_ENDS}
    right = sum(found.get(counterpart.get(index, -1)) == mark for index, mark in ends.items())
    places = {counterpart.get(index) for index in ends}
    unexpected = sum(mark in SENTENCE_ENDS and index not in places for index, mark in found.items())
    return SentenceEnds(len(ends), right, unexpected)
