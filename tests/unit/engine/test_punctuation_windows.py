from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.punctuation import (
    CUT_AT_COMMA_TOKENS,
    NO_CUT_TOKENS,
    WINDOW_TOKENS,
    Marked,
    PunctuatedText,
    apply_marks,
    split_characters,
)


def run(tokens: int, mark_probability: dict[str, float], seed: int = 0) -> tuple[PunctuatedText, list[int]]:
    """Send a text through the windows, with a model that marks at random; also the sizes of the windows."""
    chance = random.Random(seed)
    text = PunctuatedText(["字"] * tokens)
    windows = []
    while not text.done:
        windows.append(len(text.window()))
        marks, weights = [*mark_probability, ""], [*mark_probability.values(), 1 - sum(mark_probability.values())]
        text.settle(chance.choices(marks, weights, k=windows[-1]))
    return text, windows


@given(st.integers(min_value=0, max_value=700), st.integers(min_value=0, max_value=99))
def test_every_token_is_marked_once(tokens: int, seed: int) -> None:
    text, windows = run(tokens, {"，": 0.1, "。": 0.05}, seed)
    assert len(text.marks) == tokens
    assert len(windows) == -(-tokens // WINDOW_TOKENS)
    assert not text.window()


def test_only_what_stands_before_a_sentence_end_is_settled() -> None:
    text = PunctuatedText(list("一二三四五六七八九十") * 3)
    text.settle([""] * 10 + ["。"] + [""] * 9)
    assert text.marks == [""] * 10 + ["。"]
    assert len(text.window()) == 9 + 10


def test_an_end_at_the_very_edge_of_a_window_is_not_trusted_yet() -> None:
    text = PunctuatedText(["字"] * 40)
    text.settle(["", "。"] + [""] * 17 + ["。"])
    assert text.marks == []


def test_a_window_too_long_is_cut_at_its_last_comma() -> None:
    text, windows = run(1000, {"，": 0.1})
    assert max(windows) <= CUT_AT_COMMA_TOKENS + 3 * WINDOW_TOKENS
    assert "。" in text.marks


def test_a_window_does_not_grow_without_bound() -> None:
    _, windows = run(8000, {})
    assert max(windows) <= NO_CUT_TOKENS + WINDOW_TOKENS


@pytest.mark.parametrize(
    ("words", "marks", "result"),
    [
        (["你", "好"], ["", ""], "你好。"),
        (["你", "好"], ["，", "，"], "你，好。"),
        (["好", "吗"], ["", "？"], "好吗？"),
        (["hello", "world"], ["", "，"], "Hello world."),
        (["hello", "你"], ["，", "、"], "Hello, 你。"),
        (["NBA", "很", "ok"], ["", "。", "？"], "NBA 很。 Ok?"),
        (["hello"], ["、"], "Hello。"),
    ],
)
def test_marks_go_to_their_words(words: list[str], marks: list[str], result: str) -> None:
    marked = apply_marks(words, split_characters(words), marks)
    assert "".join(word.text + word.mark for word in marked) == result.replace(" ", "")


def test_a_word_of_several_tokens_takes_the_last_ones_mark() -> None:
    assert split_characters(["café", "ok"]) == ["caf", "é", "ok"]
    assert apply_marks(["café", "ok"], ["caf", "é", "ok"], ["。", "，", ""]) == [
        Marked("Café", "，"),
        Marked("ok", "."),
    ]


def test_a_token_of_several_words_marks_the_last_one() -> None:
    marked = apply_marks(["预", "约", "好"], ["预约", "好"], ["，", ""])
    assert [word.mark for word in marked] == ["", "，", "。"]


def test_no_words_no_marks() -> None:
    assert apply_marks([], [], []) == []
