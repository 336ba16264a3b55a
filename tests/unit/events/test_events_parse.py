from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.errors import DeadLetterError, EventInvalid, EventNotJson, EventUnknown
from consumer.events.headers import RECORDING
from consumer.events.parse import UploadEvent, parse


def records(*objects: tuple[str, str, str | None]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "ceph:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": bucket},
                    "object": {"key": key, "versionId": version, "eTag": f"e{position}"},
                },
            }
            for position, (bucket, key, version) in enumerate(objects)
        ]
    }


def encoded(event: object) -> bytes:
    return json.dumps(event).encode()


EVENT = encoded(records(("a", "x.wav", None), ("a", "日.wav", None), ("b", "x.wav", None)))

EXAMPLES = sorted((Path(__file__).parents[3] / "schemas" / "examples").glob("*.json"))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
known_names = st.sampled_from(
    [
        *("Records", "EventName", "Key", "eventName", "eventSource", "s3", "bucket", "object", "key", "name", "size"),
        *("eTag", "versionId", "events", "oss", "specversion", "data", "data_base64", "subject", "type", "id"),
        *("options", "metadata", "Type", "Message", "Event", "detail", "detail-type", "source", "userIdentity"),
    ]
)
telling_values = st.sampled_from(
    ["aws:s3", "s3:ObjectCreated:Put", "ObjectCreated:PutObject", "1.0", "aws.s3", "Object Created", "Notification"]
)
eventlike = st.recursive(
    st.none() | telling_values | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known_names, inner, max_size=6),
    max_leaves=20,
)
kafka_headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_specversion", "ce_subject", "ce_type", "ce_id", "content-type", RECORDING, "other"]),
        st.none() | st.binary(max_size=20) | st.sampled_from([b"1.0", b"a/x.wav", b"application/json"]),
    ),
    max_size=5,
)


def outcome(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> UploadEvent | DeadLetterError:
    try:
        return parse(value, headers)
    except (EventNotJson, EventUnknown, EventInvalid) as error:
        return error


def assert_bounded(result: UploadEvent | DeadLetterError) -> None:
    assert isinstance(result, UploadEvent) or len(str(result)) < 1000


@given(st.none() | st.binary(), kafka_headers)
def test_any_bytes_are_parsed_or_refused(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    assert_bounded(outcome(value, headers))


@given(json_values, kafka_headers)
@example([[[[]]]], [])
def test_any_json_is_parsed_or_refused(value: object, headers: list[tuple[str, bytes | None]]) -> None:
    assert_bounded(outcome(encoded(value), headers))


@given(eventlike, kafka_headers)
def test_anything_like_an_event_is_parsed_or_refused(value: object, headers: list[tuple[str, bytes | None]]) -> None:
    result = outcome(encoded(value), headers)
    assert_bounded(result)
    if isinstance(result, UploadEvent):
        assert all(recording.bucket and recording.key for recording in result.recordings)


def paths(value: object, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every part of a JSON value, itself included."""
    yield here
    if isinstance(value, dict):
        for name, part in value.items():
            yield from paths(part, (*here, name))
    elif isinstance(value, list):
        for position, part in enumerate(value):
            yield from paths(part, (*here, position))


def replaced(value: Any, path: tuple[str | int, ...], part: object) -> object:
    """A copy of a JSON value with one part exchanged."""
    if not path:
        return part
    changed = value.copy()
    changed[path[0]] = replaced(value[path[0]], path[1:], part)
    return changed


PARTS: list[object] = [None, True, 0, -1, 2**63, 10**30, 0.5, "", "é", "k" * 2000, [], [[]], ["x"], {}, {"x": {}}]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.stem))
@pytest.mark.parametrize("headers", [[], [("ce_specversion", b"1.0"), ("ce_subject", b"a/b")], [(RECORDING, b"a/b")]])
def test_an_event_with_any_part_exchanged_is_parsed_or_refused(
    path: Path, headers: list[tuple[str, bytes | None]]
) -> None:
    content = json.loads(path.read_bytes())
    event = content.get("value", content)
    for where in paths(event):
        for part in PARTS:
            assert_bounded(outcome(encoded(replaced(event, where, part)), headers))


@pytest.mark.parametrize(
    "value", [None, b"", b"hello", b"{", b"\xff", b"NaN", b"[" * 5000 + b"]" * 5000, b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_is_refused_as_such(value: bytes | None) -> None:
    with pytest.raises(EventNotJson, match=r"^the value is "):
        parse(value, [])


@pytest.mark.parametrize("value", [b"[]", b"7", b"null", b'"text"', b"{}", b'{"hello": "world"}'])
def test_json_of_no_dialect_is_refused_as_such(value: bytes) -> None:
    with pytest.raises(EventUnknown):
        parse(value, [])


def test_an_unknown_event_is_described_by_its_first_fields_only() -> None:
    event = {f"field{number}" + "x" * 200: "secret" for number in range(100)}
    with pytest.raises(EventUnknown) as caught:
        parse(encoded(event), [])
    assert "field0xxx" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_duplicates_collapse_to_what_the_last_says() -> None:
    event = records(("a", "x", None), ("a", "y", None), ("a", "x", None), ("a", "x", "v1"))
    recordings = parse(encoded(event), []).recordings
    assert [(recording.key, recording.version_id, recording.etag) for recording in recordings] == [
        ("x", None, "e2"),
        ("y", None, "e1"),
        ("x", "v1", "e3"),
    ]


@pytest.mark.parametrize("only", ["a/x.wav", "a/日.wav", "b/x.wav"])
def test_the_recording_header_leaves_one_recording(only: str) -> None:
    result = parse(EVENT, [("other", b"1"), (RECORDING, only.encode())])
    assert [recording.object_id for recording in result.recordings] == [only]


def test_the_last_of_several_recording_headers_counts() -> None:
    result = parse(EVENT, [(RECORDING, b"b/x.wav"), (RECORDING, b"a/x.wav")])
    assert [recording.object_id for recording in result.recordings] == ["a/x.wav"]


def test_what_was_skipped_is_not_counted_again_for_one_recording() -> None:
    event = records(("a", "x", None), ("a", "y", None))
    event["Records"][1]["eventName"] = "ObjectRemoved:Delete"
    assert len(parse(encoded(event), []).skipped) == 1
    assert parse(encoded(event), [(RECORDING, b"a/x")]).skipped == ()


@pytest.mark.parametrize("only", [b"a/other.wav", b"", b"\xff"])
def test_a_recording_header_that_names_none_is_invalid(only: bytes) -> None:
    with pytest.raises(EventInvalid, match=RECORDING):
        parse(EVENT, [(RECORDING, only)])


def test_a_null_recording_header_counts_as_none() -> None:
    assert len(parse(EVENT, [(RECORDING, None)]).recordings) == 3
