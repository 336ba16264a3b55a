from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.transcript.cer import CharacterErrors, compare, distance, spoken

TEXT = st.text(alphabet="今天明下午开会", max_size=12)


@pytest.mark.parametrize(
    ("truth", "heard", "edits", "characters"),
    [
        ("今天下午开会。", "今天下午开会", 0, 6),
        ("今天，下午！", "今天下午。", 0, 4),
        ("今天", "明天", 1, 2),
        ("今天下午", "今天午", 1, 4),
        ("今天", "今天天", 1, 2),
        ("今天", "", 2, 2),
        ("", "今", 1, 0),
        ("ＡＰＰ ok", "app OK", 0, 5),
    ],
)
def test_counts_edits_without_punctuation(truth: str, heard: str, edits: int, characters: int) -> None:
    assert compare(truth, heard) == CharacterErrors(edits, characters)


def test_rates_add_up_over_recordings() -> None:
    total = compare("今天下午", "今天下午") + compare("明天", "后天")
    assert total.rate == pytest.approx(1 / 6)


def test_text_where_nobody_spoke_is_all_wrong() -> None:
    assert compare("。", "喂").rate == 1.0
    assert compare("", "").rate == 0.0


def test_spoken_keeps_letters_and_digits_only() -> None:
    assert spoken("第３ 页，共10页…（完）") == "第3页共10页完"


@given(TEXT, TEXT)
def test_distance_is_symmetric_and_bounded(first: str, second: str) -> None:
    edits = distance(first, second)
    assert edits == distance(second, first)
    assert abs(len(first) - len(second)) <= edits <= max(len(first), len(second))
    assert (edits == 0) == (first == second)


@given(TEXT, TEXT, TEXT)
def test_distance_keeps_the_triangle_inequality(first: str, second: str, third: str) -> None:
    assert distance(first, third) <= distance(first, second) + distance(second, third)
