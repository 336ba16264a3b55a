"""Text of others on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text without what could command a terminal: object names and messages come from anywhere."""
    return "".join(character if character.isprintable() else "�" for character in text)
