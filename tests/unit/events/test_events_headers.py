from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.events import headers

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_last_header_of_a_name_counts() -> None:
    assert headers.last([("a", b"1"), ("b", b"x"), ("a", b"2")], "a") == b"2"
    assert headers.last([("a", b"1"), ("a", None)], "a") is None
    assert headers.last([], "a") is None


@given(st.binary())
def test_text_never_raises(value: bytes) -> None:
    assert isinstance(headers.text([("a", value)], "a"), str)


@pytest.mark.parametrize("value", [VALID, VALID[:-2] + "00", "cc" + VALID[2:] + "-what-comes-later"])
def test_valid_trace_contexts_are_read(value: str) -> None:
    assert headers.traceparent([("traceparent", value.encode())]) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        VALID.upper(),
        VALID + "-more",
        VALID + "\n",
        "ff" + VALID[2:],
        VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        VALID.replace("00f067aa0ba902b7", "0" * 16),
    ],
)
def test_invalid_trace_contexts_are_dropped(value: str) -> None:
    assert headers.traceparent([("traceparent", value.encode())]) is None


def test_no_trace_context_is_none() -> None:
    assert headers.traceparent([]) is None
