"""Words and marks to text.

The rules are those of FunASR, whose two steps write text: ``sentence_postprocess`` joins tokens and CT-Transformer's
``inference`` puts marks between words. Both agree on spaces:

- Chinese characters stand side by side;
- two neighbours that are both of another script (they begin with an ASCII character) have a space between them, also
  across a mark: ``hello, world``;
- between Chinese and another script there is none: ``打开app看看``;
- a lone digit counts as a Chinese character, so that spelt-out numbers stay together: ``2026``.

What FunASR does besides is left out, since it changes what was heard: it puts a space before a window of words that
happens to begin with ASCII, writes spelt letters as one capital word, and capitalises one-letter beginnings.
"""

from __future__ import annotations

from collections.abc import Iterable

from consumer.transcript.types import Word

SENTENCE_ENDS = frozenset("。？！.?!")
"""Marks that end a sentence, with their ASCII twins."""


def is_spaced(word: str) -> bool:
    """Whether a word is of a script that is written with spaces (begins with ASCII, and is no lone digit)."""
    return word[:1].isascii() and word != "" and not (len(word) == 1 and word.isdigit())


def needs_space(before: str, after: str) -> bool:
    """Whether a space stands between two neighbouring words, marks not counted."""
    return is_spaced(before) and is_spaced(after)


def join_words(words: Iterable[Word]) -> str:
    """Words with their marks as one line of text."""
    parts: list[str] = []
    before = ""
    for word in words:
        if needs_space(before, word.text):
            parts.append(" ")
        parts += (word.text, word.mark)
        before = word.text
    return "".join(parts)


def join_texts(before: str, after: str) -> str:
    """Two stretches of text one after the other.

    Only the characters at the seam are known, so a digit there counts as part of a longer word.
    """
    if not before or not after:
        return before + after
    space = before[-1].isascii() and after[0].isascii()
    return f"{before} {after}" if space else before + after
