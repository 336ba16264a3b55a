from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.commands.replay_selection import (
    Bound,
    Choice,
    Transcribed,
    as_options,
    copies_of,
    is_older,
    new_id,
    read_ids,
    recordings_of,
)
from consumer.commands.replay_sources import BucketSource, TopicSource, sent_by, still_held
from consumer.errors import BucketNotAllowed, UsageError
from consumer.events.copies import Origin
from consumer.events.parse import parse
from consumer.events.recording import Recording
from consumer.kafka.records import Headers, Record
from consumer.kafka.spans import Span, SpanReader
from consumer.settings import StorageSettings
from tests.unit.transcript.speech import span, transcript_of

SECONDS = st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 1000)
"""Epoch milliseconds of times as they can be written."""


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def event(*keys: str, **fields: Any) -> bytes:
    """One object natively, several as S3 tells them."""
    if len(keys) == 1:
        return json.dumps({"bucket": "audio-in", "key": keys[0], **fields}).encode()
    records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "audio-in"}, "object": {"key": key}}}
        for key in keys
    ]
    return json.dumps({"Records": records}).encode()


def record(value: bytes, *, timestamp_ms: int = 1000, headers: Headers | None = None) -> Record:
    return Record("uploads", 1, 7, b"k", value, headers or [], timestamp_ms)


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        (None, None),
        ("0", Bound("offset", 0)),
        ("20261123", Bound("offset", 20261123)),
        ("2026-11-23", Bound("time", 1795363200000)),
        ("2026-11-23T08:00:00", Bound("time", 1795392000000)),
        ("2026-11-23T08:00:00+00:00", Bound("time", 1795420800000)),
        ("2026-11-23T08:00:00Z", Bound("time", 1795420800000)),
    ],
)
@pytest.mark.usefixtures("shanghai")
def test_a_bound_is_an_offset_or_a_time(written: str | None, bound: Bound | None) -> None:
    assert Bound.parse("--from", written) == bound


@given(st.builds(Bound, st.just("offset"), st.integers(0, 2**63)) | st.builds(Bound, st.just("time"), SECONDS))
def test_a_bound_is_shown_as_the_option_takes_it(bound: Bound) -> None:
    assert Bound.parse("--from", str(bound)) == bound


def test_options_are_shown_as_they_are_typed() -> None:
    assert as_options(Choice("uploads", partition=0).as_json() | {"to_topic": "uploads", "for_model": None}) == (
        "--topic uploads --partition 0 --to-topic uploads"
    )
    chosen = Choice(
        "uploads",
        start=Bound("time", 1793491200000),
        end=Bound("time", 1795420800000),
        key="audio-in/a b\x1b*",
        ids=frozenset({"a"}),
        bucket="s3://audio-in/",
        only_missing=True,
    )
    shown = as_options(json.loads(json.dumps(chosen.as_json() | {"to_topic": "again", "for_model": "v2"})))
    assert shown == (
        f"--from-bucket s3://audio-in/ --from {chosen.start} --to {chosen.end} --key 'audio-in/a b\ufffd*' --ids FILE "
        "--only-missing --to-topic again --for-model v2"
    )


@pytest.mark.parametrize("written", ["", "-1", "yesterday", "2026-13-01", "08:00", "²"])
def test_what_is_no_bound_is_a_usage_error_that_shows_how(written: str) -> None:
    with pytest.raises(UsageError, match=r"--to .*: give an offset, or a time such as 2026-11-23"):
        Bound.parse("--to", written)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice("uploads"), [None]),
        (Choice("uploads", start=Bound("time", 1000), end=Bound("time", 1001)), [None]),
        (Choice("uploads", start=Bound("time", 1001)), "outside"),
        (Choice("uploads", end=Bound("time", 1000)), "outside"),
        (Choice("uploads", start=Bound("offset", 5000)), [None]),
        (Choice("uploads", key="audio-in/*"), [None]),
        (Choice("uploads", key="a.wav"), "not selected"),
        (Choice("uploads", ids=frozenset({"audio-in/a.wav"})), [None]),
        (Choice("uploads", ids=frozenset({"event-1"})), [None]),
        (Choice("uploads", ids=frozenset({"audio-in/b.wav"})), "not selected"),
    ],
)
def test_a_record_is_chosen_by_time_and_name(choice: Choice, expected: object) -> None:
    assert recordings_of(choice, None, record(event("a.wav", id="event-1"))) == expected


def test_what_cannot_be_read_is_passed_over() -> None:
    assert recordings_of(Choice("uploads"), None, record(b"nonsense")) == "no event"


def test_copies_are_passed_over_unless_wanted() -> None:
    copy = record(event("a.wav"), headers=[("tingxie-copy-of", b"uploads/0/3")])
    assert recordings_of(Choice("uploads"), None, copy) == "copy"
    assert recordings_of(Choice("uploads", copies=True), None, copy) == [None]


def test_of_an_event_with_several_recordings_those_that_are_asked_for_are_sent() -> None:
    several = record(event("a.wav", "b.wav", "calls/c.wav"))
    chosen = recordings_of(Choice("uploads", key="audio-in/?.wav"), None, several)
    assert not isinstance(chosen, str)
    copies = [dict(headers) for headers in copies_of(Choice("uploads"), several, chosen, "r1")]
    assert [each["tingxie-recording"] for each in copies] == [b"audio-in/a.wav", b"audio-in/b.wav"]
    assert {(each["tingxie-replay"], each["tingxie-copy-of"]) for each in copies} == {(b"r1", b"uploads/1/7")}
    (whole,) = copies_of(Choice("uploads"), several, [None], "r1")
    assert "tingxie-recording" not in dict(whole)


def test_two_versions_of_an_object_are_one_copy() -> None:
    versions = [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "audio-in"}, "object": {"key": key, "versionId": version}},
        }
        for key, version in (("a.wav", "1"), ("a.wav", "2"), ("b.wav", "1"))
    ]
    chosen = recordings_of(Choice("uploads", key="*/a.wav"), None, record(json.dumps({"Records": versions}).encode()))
    assert [each.object_id for each in chosen if isinstance(each, Recording)] == ["audio-in/a.wav"]


EVENTS = TopicSource(cast("SpanReader", None), "uploads", {})


@given(st.data())
def test_however_often_a_replay_is_killed_no_recording_is_sent_twice(data: st.DataObject) -> None:
    """While it is down, transcripts come, and old ones go with the retention of their topic."""
    names = ["a.wav", "b.wav", "c.wav"]
    several = record(event(*names))
    choice = Choice("uploads", only_missing=True)
    copies: list[Headers] = []
    for killed in (True, True, False):
        done = data.draw(st.sets(st.sampled_from(names)))
        known = Transcribed(None)
        for name in done:
            known.add(json.dumps({"source": SOURCE | {"key": name}, "model": {"revision": "v1"}}).encode())
        written = [Record("uploads", 0, number, b"k", several.value, each, 0) for number, each in enumerate(copies)]
        before = sent_by(EVENTS, "r1", written).get(EVENTS.original(several), ())
        chosen = recordings_of(choice, known, several, before)
        if isinstance(chosen, str):
            assert chosen == ("sent before" if before else "transcribed")
            continue
        sending = [list(each) for each in copies_of(choice, several, chosen, "r1")]
        copies += sending[: data.draw(st.integers(0, len(sending)))] if killed else sending
    sent = Counter(each.key for headers in copies for each in parse(several.value, headers).recordings)
    assert set(sent.values()) <= {1}
    assert {*sent} | done == {*names}


@given(st.data())
def test_what_is_gone_and_was_never_sent_is_counted_by_partition(data: st.DataObject) -> None:
    offsets = st.integers(0, 9)
    removed = {("uploads", each): Span(*sorted((data.draw(offsets), data.draw(offsets)))) for each in range(2)}
    sent = data.draw(st.sets(st.builds(Origin, st.sampled_from(["other", "uploads"]), st.integers(0, 2), offsets)))
    left = Counter(
        f"uploads[{each}]"
        for (_, each), span in removed.items()
        for offset in range(span.start, span.end)
        if Origin("uploads", each, offset) not in sent
    )
    assert replace(EVENTS, removed=list(removed.items())).gone(sent) == left


def test_of_a_topic_that_was_made_anew_nothing_is_read() -> None:
    spans = {("uploads", each): Span(2, 5) for each in range(3)}
    now = {("uploads", 0): Span(4, 5), ("uploads", 1): Span(0, 4)}
    held, removed = still_held(spans, now)
    assert held == {("uploads", 0): Span(2, 5)}, "what retention removed of it is found while it is read"
    assert removed == {("uploads", 1): Span(2, 5), ("uploads", 2): Span(2, 5)}


def transcribed(revision: str, older_than: str | None = None) -> Transcribed:
    """The transcript of an object, as the topic has it."""
    made = transcript_of([span("你 好。")])
    known = Transcribed(older_than)
    known.add(made.model_copy(update={"model": made.model.model_copy(update={"revision": revision})}).to_bytes())
    return known


def test_a_transcript_covers_the_version_that_it_was_made_of() -> None:
    source = transcript_of([span("你 好。")]).source
    known = transcribed("v1")
    same = Recording(bucket=source.bucket, key=source.key)
    assert known.covers(same)
    assert known.covers(same.model_copy(update={"etag": source.etag, "version_id": source.version_id}))
    assert not known.covers(same.model_copy(update={"etag": "another"}))
    assert not known.covers(same.model_copy(update={"version_id": "another"}))
    assert not known.covers(same.model_copy(update={"key": "another"}))
    assert recordings_of(
        Choice("uploads"), known, record(event(source.key).replace(b"audio-in", source.bucket.encode()))
    ) == ("transcribed")


def test_a_transcript_of_an_older_model_covers_nothing() -> None:
    source = transcript_of([span("你 好。")]).source
    recording = Recording(bucket=source.bucket, key=source.key)
    assert not transcribed("v2.0.4", "v2.1.0").covers(recording)
    assert transcribed("v2.1.0", "v2.1.0").covers(recording)
    assert transcribed("v2.10.0", "v2.9.0").covers(recording)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
SOURCE = {"bucket": "audio-in", "key": "a.wav", "version_id": None, "etag": "e"}


def broken(part: str, field: str, value: object) -> bytes:
    """A transcript of which one field has some value."""
    transcript: dict[str, Any] = {"source": dict(SOURCE), "model": {"revision": "v2.0.4"}}
    transcript[part][field] = value
    return json.dumps(transcript).encode()


@pytest.mark.parametrize("older_than", [None, "v2.0.4"])
@given(
    st.none()
    | st.binary()
    | st.sampled_from([b"[" * 900 + b"]" * 900, broken("model", "revision", "1" * 5000)])
    | st.builds(json.dumps, JSON | st.fixed_dictionaries({"source": JSON, "model": JSON})).map(str.encode)
    | st.builds(broken, st.just("source"), st.sampled_from(sorted(SOURCE)), JSON)
    | st.builds(broken, st.just("model"), st.just("revision"), JSON)
)
def test_whatever_lies_in_the_transcript_topic_can_be_asked(older_than: str | None, value: bytes | None) -> None:
    known = Transcribed(older_than)
    known.add(value)
    assert not known.covers(Recording(bucket="audio-in", key="b.wav"))


@pytest.mark.parametrize(
    "value",
    [None, b"", b"[]", b'{"source": {}, "model": 7}', *(broken("source", each, ["x"]) for each in sorted(SOURCE))],
)
def test_what_is_no_transcript_is_ignored(value: bytes | None) -> None:
    known = Transcribed(None)
    known.add(value)
    assert not known.covers(Recording(bucket="audio-in", key="a.wav"))
    known.add(broken("source", "etag", "e"))
    assert known.covers(Recording(bucket="audio-in", key="a.wav"))


@pytest.mark.parametrize(
    ("revision", "than", "older"),
    [
        ("v2.0.4", "v2.0.4", False),
        ("v2.0.4", "2.0.5", True),
        ("v2.9", "v2.10", True),
        ("v3", "v2.10", False),
        ("3f2a9c", "3f2a9c", False),
        ("3f2a9c", "v2.0.4", True),
        ("v2.0.4", "3f2a9c", True),
    ],
)
def test_revisions_are_compared_by_number_where_they_are_numbers(revision: str, than: str, older: bool) -> None:
    assert is_older(revision, than) is older


def test_ids_are_the_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("audio-in/a b.wav\n\n  event-1 \n")
    assert read_ids(file) == {"audio-in/a b.wav", "event-1"}
    file.write_text("\n")
    with pytest.raises(UsageError, match="no id in it"):
        read_ids(file)
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="text file"):
        read_ids(file)


def test_a_replay_has_an_id() -> None:
    assert new_id("upgrade-v2.1") == "upgrade-v2.1"
    assert new_id(None).startswith("replay-20")
    with pytest.raises(UsageError, match="letters, digits"):
        new_id("an id")


@pytest.mark.parametrize("address", ["audio-in", "s3://", "s3:///calls", "http://audio-in"])
def test_an_address_of_no_bucket_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="write s3://bucket"):
        BucketSource.at(address, StorageSettings(), 0)


def test_a_bucket_that_events_may_not_name_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(BucketNotAllowed, match=r"storage\.allowed_buckets"):
        BucketSource.at("s3://private/calls", StorageSettings(allowed_buckets=("audio-in",)), 0)
