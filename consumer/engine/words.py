"""From the recogniser's tokens to words, as FunASR's ``sentence_postprocess`` writes them.

A Chinese character or a digit is a word by itself; byte-pair pieces (``hel@@ lo``) are joined; single letters in a row
are an abbreviation (``n b a`` → ``NBA``). Like there, a piece that is never completed is not a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PIECE = "@@"
_NO_WORDS = frozenset({"<s>", "</s>", "<unk>", "<OOV>"})


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """A word and the tokens it is made of.

    Attributes:
        text: the word.
        tokens: indices of its tokens, ascending, at least one.
    """

    text: str
    tokens: tuple[int, ...]


def group_tokens(tokens: Sequence[str]) -> list[TokenGroup]:
    """The words in a sequence of tokens, in FunASR's order."""
    words: list[TokenGroup] = []
    letters: list[TokenGroup] = []  # single letters that may become an abbreviation
    piece_text, piece_tokens = "", list[int]()
    for index, token in enumerate(tokens):
        text = token.replace(" ", "")
        if token in _NO_WORDS or not text:
            continue
        if PIECE in text:
            piece_text += text.replace(PIECE, "")
            piece_tokens.append(index)
        elif _is_alphabetic(text):
            group = TokenGroup(piece_text + text, (*piece_tokens, index))
            piece_text, piece_tokens = "", []
            if len(group.text) == 1 and group.text.isascii() and group.text.isalpha():
                letters.append(group)
            else:
                words += [*_abbreviation(letters), group]
                letters = []
        else:
            words += [*_abbreviation(letters), TokenGroup(text, (index,))]
            letters = []
    return words + _abbreviation(letters)


def _abbreviation(letters: list[TokenGroup]) -> list[TokenGroup]:
    if len(letters) < 2:
        return letters
    text = "".join(letter.text for letter in letters).upper()
    return [TokenGroup(text, tuple(index for letter in letters for index in letter.tokens))]


def _is_alphabetic(token: str) -> bool:
    return all((char.isalpha() and not "一" <= char <= "鿿") or char == "'" for char in token)
