"""Character error rate: edits between what was said and what was written, punctuation and spaces left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CharacterErrors:
    """Edits, and the characters of the truth they are counted against."""

    edits: int
    characters: int

    def __add__(self, other: CharacterErrors) -> CharacterErrors:
        return CharacterErrors(self.edits + other.edits, self.characters + other.characters)

    @property
    def rate(self) -> float:
        """Edits per character of the truth; where the truth is empty, 1 for any edit at all."""
        return self.edits / self.characters if self.characters else float(self.edits > 0)


def spoken(text: str) -> str:
    """The letters and digits of a text: width and case folded (NFKC), punctuation, symbols and spaces dropped."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LNM")


def distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Levenshtein distance (Wagner and Fischer, 1974): fewest insertions, deletions and substitutions."""
    row = list(range(len(second) + 1))
    for count, left in enumerate(first, start=1):
        diagonal, row[0] = row[0], count
        for column, right in enumerate(second, start=1):
            best = min(row[column] + 1, row[column - 1] + 1, diagonal + (left != right))
            diagonal, row[column] = row[column], best
    return row[-1]


def compare(truth: str, heard: str) -> CharacterErrors:
    """Character errors of a transcript."""
    said = spoken(truth)
    return CharacterErrors(distance(said, spoken(heard)), len(said))
