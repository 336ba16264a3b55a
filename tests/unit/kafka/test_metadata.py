from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.kafka.metadata import MOST_BYTES, MOST_INCOMPLETE, PREFIX, Progress, decode, encode

offsets = st.integers(0, 2**62)


@st.composite
def progresses(draw: st.DrawFn) -> Progress:
    base = draw(offsets)
    # The base itself is incomplete, or it would be a higher one.
    gaps = draw(st.lists(st.one_of(st.just(1), st.integers(1, 9), st.integers(1, 2**27)), max_size=60))
    incomplete = [base]
    for gap in gaps:
        incomplete.append(incomplete[-1] + gap)
    deaths = draw(st.lists(st.integers(0, 3), min_size=len(incomplete), max_size=len(incomplete)))
    end = incomplete[-1] + 1 + draw(st.integers(0, 10_000))
    return Progress(base, end, dict(zip(incomplete, deaths, strict=True)))


@given(progresses())
def test_what_is_written_is_read(progress: Progress) -> None:
    assert decode(encode(progress), progress.base) == progress


@given(offsets, st.lists(st.integers(1, 2**25), min_size=MOST_INCOMPLETE, max_size=MOST_INCOMPLETE))
def test_as_many_as_may_be_incomplete_always_have_room(base: int, gaps: list[int]) -> None:
    incomplete, at = {}, base
    for gap in gaps:
        incomplete[at] = at % 5
        at += gap
    text = encode(Progress(base, at, incomplete))
    assert len(text.encode()) <= MOST_BYTES
    assert dict.fromkeys(decode(text, base).incomplete) == dict.fromkeys(incomplete)


def test_deaths_are_what_is_left_out_where_there_is_no_room() -> None:
    incomplete = {2**28 * at: at % 7 for at in range(MOST_INCOMPLETE)}
    read = decode(encode(Progress(0, 2**40, incomplete)), 0)
    assert list(read.incomplete) == list(incomplete)
    assert set(read.incomplete.values()) == {0}


def test_more_than_have_room_are_refused() -> None:
    far = {at * 2**30: 0 for at in range(2 * MOST_INCOMPLETE)}
    with pytest.raises(ValueError, match="no room"):
        encode(Progress(0, 2**60, far))


def test_the_shorter_form_is_written() -> None:
    every_second = dict.fromkeys(range(0, 4000, 2), 0)
    bits = encode(Progress(0, 4000, every_second))
    assert len(bits) < 4000 / 8 * 4 / 3 + 40
    runs = encode(Progress(0, 100_000, {0: 0}))
    assert len(runs) < 30


def test_nothing_beyond_the_offset_is_nothing_to_write() -> None:
    assert encode(Progress(7, 7)) == ""
    assert decode("", 7) == decode(None, 7) == Progress(7, 7)


@given(progresses(), st.integers(-5, 5).filter(bool))
def test_metadata_of_another_offset_is_void(progress: Progress, moved: int) -> None:
    offset = progress.base + moved
    assert decode(encode(progress), offset) == Progress(offset, offset)


@given(offsets, st.one_of(st.text(), st.text().map(lambda text: PREFIX + text), st.none()))
def test_foreign_metadata_is_ignored(offset: int, text: str | None) -> None:
    assert decode(text, offset) == Progress(offset, offset)


@given(progresses(), st.data())
def test_broken_metadata_never_raises_and_never_claims_another_base(progress: Progress, data: st.DataObject) -> None:
    text = encode(progress)
    at = data.draw(st.integers(0, len(text) - 1))
    broken = data.draw(
        st.sampled_from([text[:at], text[:at] + "A" + text[at + 1 :], text[:at] + text[at + 1 :], text + text[at:]])
    )
    read = decode(broken, progress.base)
    assert read.base == progress.base <= read.end
    assert len(read.incomplete) <= MOST_INCOMPLETE


@given(st.binary(max_size=200), offsets)
def test_any_bytes_can_be_read(body: bytes, offset: int) -> None:
    text = PREFIX + base64.urlsafe_b64encode(body).rstrip(b"=").decode()
    read = decode(text, offset)
    assert all(read.base <= each < read.end for each in read.incomplete)
