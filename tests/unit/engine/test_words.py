from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.words import group_tokens

tokens = st.lists(st.sampled_from(["我", "们", "7", "a", "b", "ok", "hel@@", "lo", "'", "<unk>", "</s>"]), max_size=12)


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (["我", "们"], ["我", "们"]),
        (["hel@@", "lo", "世", "界"], ["hello", "世", "界"]),
        (["n", "b", "a"], ["NBA"]),
        (["看", "n", "b", "a", "吧"], ["看", "NBA", "吧"]),
        (["a", "good", "b"], ["a", "good", "b"]),
        (["我", "<unk>", "们", "</s>"], ["我", "们"]),
        (["1", "0", "ok"], ["1", "0", "ok"]),
        (["unfin@@"], []),
        ([], []),
    ],
)
def test_tokens_become_words(heard: list[str], words: list[str]) -> None:
    assert [group.text for group in group_tokens(heard)] == words


@given(tokens)
def test_no_token_is_in_two_words(heard: list[str]) -> None:
    used = [index for group in group_tokens(heard) for index in group.tokens]
    assert len(used) == len(set(used))
    assert all(0 <= index < len(heard) for index in used)


@given(tokens)
def test_a_word_knows_its_own_tokens(heard: list[str]) -> None:
    for group in group_tokens(heard):
        joined = "".join(heard[index].replace("@@", "") for index in group.tokens)
        assert joined.lower() == group.text.lower()
