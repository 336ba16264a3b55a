"""Text of others on a terminal."""

from __future__ import annotations

from rich.text import Text


def printable(text: str) -> str:
    """Text without what could command a terminal: object names and messages come from anywhere."""
    return "".join(character if character.isprintable() else "�" for character in text)


def fit(text: str, width: int) -> str:
    """Printable text of exactly so many columns; of a longer one the end is shown, which tells objects apart."""
    text = printable(text)
    cut = Text(text if len(text) <= width else f"…{text[1 - width :]}")
    while cut.cell_len > width:
        cut = Text(f"…{cut.plain[2:]}")
    cut.pad_right(width - cut.cell_len)
    return cut.plain
