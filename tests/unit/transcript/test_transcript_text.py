from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.transcript.text import join_texts, join_words
from consumer.transcript.types import Word
from tests.unit.transcript.speech import MARKS, TEXTS, words


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("今 天 天 气 很 好。", "今天天气很好。"),
        ("hello world", "hello world"),
        ("hello, world.", "hello, world."),
        ("打 开 app 看 看", "打开app看看"),
        ("我 用 visual studio 写 代 码", "我用visual studio写代码"),
        ("app。 打 开", "app。打开"),
        ("2 0 2 6 年", "2026年"),
        ("in 2 0 2 6", "in2026"),
        ("don't stop", "don't stop"),
        ("", ""),
    ],
)
def test_joins_as_funasr_does(spoken: str, written: str) -> None:
    assert join_words(words(spoken)) == written


@given(st.lists(st.tuples(TEXTS, MARKS), max_size=30))
def test_no_word_or_mark_is_lost(pairs: list[tuple[str, str]]) -> None:
    spoken = [Word(text, 0, 0, 1.0, mark) for text, mark in pairs]
    assert join_words(spoken).replace(" ", "") == "".join(text + mark for text, mark in pairs)


@given(st.lists(TEXTS, max_size=30))
def test_no_space_at_the_ends_nor_two_together(texts: list[str]) -> None:
    text = join_words(words(" ".join(texts)))
    assert text == text.strip()
    assert "  " not in text


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ("你好。", "再见。", "你好。再见。"),
        ("Hello.", "World.", "Hello. World."),
        ("你好。", "Hello.", "你好。Hello."),
        ("Hello.", "你好。", "Hello.你好。"),
        ("", "Hello.", "Hello."),
        ("Hello.", "", "Hello."),
    ],
)
def test_joins_stretches_of_text(before: str, after: str, joined: str) -> None:
    assert join_texts(before, after) == joined
