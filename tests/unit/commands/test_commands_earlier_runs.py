from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.commands.earlier_runs import before, copies_since, written_since
from consumer.kafka.records import Partition
from consumer.kafka.spans import Span

SPANS = st.builds(lambda start, length: Span(start, start + length), st.integers(0, 9), st.integers(0, 9))
TOPICS = st.lists(SPANS, min_size=1, max_size=4).map(
    lambda spans: {("uploads", n): each for n, each in enumerate(spans)}
)
Spans = dict[Partition, Span]


@given(TOPICS, TOPICS)
def test_copies_are_looked_for_in_every_partition_that_there_is(begun: Spans, now: Spans) -> None:
    spans, _ = written_since(now, begun)
    assert spans.keys() == now.keys()
    assert all(now[each].start <= span.start <= span.end == now[each].end for each, span in spans.items())


@given(TOPICS, st.lists(st.integers(0, 9), min_size=4, max_size=4), st.lists(SPANS, max_size=2), st.data())
def test_of_a_topic_that_grew_all_that_is_new_is_read(
    begun: Spans, written: list[int], added: list[Span], data: st.DataObject
) -> None:
    now = {
        each: Span(span.start, span.end + count) for (each, span), count in zip(begun.items(), written, strict=False)
    }
    now |= {("uploads", len(begun) + number): Span(0, span.end) for number, span in enumerate(added)}
    expected = {each: Span(begun[each].end if each in begun else 0, span.end) for each, span in now.items()}
    assert written_since(now, begun) == (expected, True)
    assert written_since(now, before(expected)) == (expected, True), "a third run finds the same"
    dropped = data.draw(st.sampled_from(sorted(now)))
    start = data.draw(st.integers(0, now[dropped].end))
    spans, complete = written_since(now | {dropped: Span(start, now[dropped].end)}, begun)
    assert complete == (start <= expected[dropped].start)
    assert spans == expected | {dropped: Span(max(start, expected[dropped].start), now[dropped].end)}


@given(TOPICS, TOPICS, st.integers(1, 9))
def test_of_a_topic_that_was_made_anew_all_is_read_and_it_is_said(begun: Spans, now: Spans, missing: int) -> None:
    one = ("uploads", 0)
    ended_later = begun | {one: Span(0, now[one].end + missing)}
    assert written_since(now, ended_later) == (now, False)
    had_one_more = begun | {("uploads", len(now)): Span(0, 0)}
    assert written_since(now, had_one_more) == (now, False)
    assert written_since({}, begun) == ({}, False)


def test_what_may_be_gone_is_said_for_the_topic_alone(capsys: pytest.CaptureFixture[str]) -> None:
    begun = {("uploads", 0): Span(0, 5), ("other", 0): Span(0, 9)}
    assert copies_since("replay r1 began", "uploads", {("uploads", 0): Span(0, 7)}, begun) == {
        ("uploads", 0): Span(5, 7)
    }
    assert capsys.readouterr() == ("", "")
    assert copies_since("replay r1 began", "uploads", {("uploads", 0): Span(0, 3)}, begun) == {
        ("uploads", 0): Span(0, 3)
    }
    assert "topic uploads has dropped records, or was made anew, since replay r1 began" in capsys.readouterr().err
