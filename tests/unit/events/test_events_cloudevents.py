from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import EventInvalid, EventNotJson, EventUnknown
from consumer.events.parse import parse

NATIVE = {"bucket": "audio-in", "key": "a b+c%20.wav", "options": {"channels": "split"}}
CEPH_RECORD = {
    "eventSource": "ceph:s3",
    "eventName": "ObjectCreated:Put",
    "s3": {"bucket": {"name": "audio-in"}, "object": {"key": "a b+c%20.wav", "size": 5}},
}
OSS_EVENT = {
    "eventName": "ObjectCreated:PutObject",
    "oss": {"bucket": {"name": "audio-in"}, "object": {"key": "a b+c%20.wav", "size": 5}},
}
DATA = {
    "native": NATIVE,
    "s3": {"Records": [CEPH_RECORD]},
    "s3-record": CEPH_RECORD,
    "oss": {"events": [OSS_EVENT]},
    "oss-event": OSS_EVENT,
}


def envelope(**attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "e-1", "source": "/uploads", "type": "com.example.uploaded", **attributes}


def structured(**attributes: Any) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    return json.dumps(envelope(**attributes)).encode(), [("content-type", b"application/cloudevents+json")]


def binary(value: bytes | None, **attributes: str) -> tuple[bytes | None, list[tuple[str, bytes | None]]]:
    content_type = attributes.pop("content_type", "application/json")
    headers = {f"ce_{name}": text for name, text in envelope(**attributes).items()} | {"content-type": content_type}
    return value, [(name, text.encode()) for name, text in headers.items()]


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_data_of_any_dialect_is_read_in_both_modes(data: dict[str, Any]) -> None:
    for value, headers in (structured(data=data), binary(json.dumps(data).encode())):
        result = parse(value, headers)
        (recording,) = result.recordings
        assert result.dialect == "cloudevents"
        assert (recording.object_id, recording.event_id) == ("audio-in/a b+c%20.wav", "e-1")


def test_the_events_own_id_goes_before_the_envelopes() -> None:
    (recording,) = parse(*structured(data={**NATIVE, "id": "call-7"})).recordings
    assert recording.event_id == "call-7"


def test_data_in_base64_and_in_a_string_is_read() -> None:
    encoded = base64.b64encode(json.dumps(NATIVE).encode()).decode()
    for value, headers in (structured(data_base64=encoded), structured(data=json.dumps(NATIVE))):
        assert [recording.key for recording in parse(value, headers).recordings] == [NATIVE["key"]]


def test_structured_mode_is_told_by_content_alone() -> None:
    value, _ = structured(data=NATIVE)
    assert len(parse(value, []).recordings) == 1
    assert len(parse(value, [("ce_specversion", b"1.0")]).recordings) == 1


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60) | st.text("a %+&/2F日🎧", min_size=1))
def test_any_key_survives_in_the_subject(key: str) -> None:
    subject = f"audio-in/{key}"
    for value, headers in (structured(subject=subject), binary(None, subject=subject), binary(b"", subject=subject)):
        assert [recording.object_id for recording in parse(value, headers).recordings] == [subject]


def test_a_subject_may_be_an_s3_uri() -> None:
    (recording,) = parse(*structured(subject="s3://audio-in/a/b.wav")).recordings
    assert (recording.bucket, recording.key) == ("audio-in", "a/b.wav")


def test_data_without_an_object_still_brings_options() -> None:
    data = {"options": {"channels": "split"}, "metadata": {"agent": "7"}}
    (recording,) = parse(*structured(subject="audio-in/a.wav", data=data)).recordings
    assert recording.options.channels == "split"
    assert recording.metadata == {"agent": "7"}


def test_data_goes_before_the_subject() -> None:
    (recording,) = parse(*structured(subject="other/x.wav", data=NATIVE)).recordings
    assert recording.bucket == "audio-in"


def test_foreign_data_beside_a_subject_is_left_alone() -> None:
    value, headers = binary(b"RIFF\xff\xfe", subject="audio-in/a.wav", content_type="audio/wav")
    assert len(parse(value, headers).recordings) == 1
    value, headers = structured(subject="audio-in/a.wav", data="hello", datacontenttype="text/plain")
    assert len(parse(value, headers).recordings) == 1


@pytest.mark.parametrize("type_", ["com.amazonaws.s3.ObjectRemoved:Delete", "object.deleted"])
def test_removals_told_by_the_type_are_skipped(type_: str) -> None:
    for value, headers in (
        structured(type=type_, subject="a/b.wav"),
        structured(type=type_, subject="a/b", data=NATIVE),
    ):
        result = parse(value, headers)
        assert result.recordings == ()
        assert [skipped.reason for skipped in result.skipped] == ["removed"]


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"specversion": "0.3", "data": NATIVE}, "specversion"),
        ({"specversion": 1, "data": NATIVE}, "specversion"),
        ({"subject": "no-slash"}, "subject"),
        ({"subject": "/blobServices/x"}, "subject"),
        ({"subject": "bucket/"}, "subject"),
        ({}, "subject"),
        ({"data": 7}, "data"),
        ({"data": []}, "data"),
        ({"data_base64": "%%%"}, "data_base64"),
        ({"data_base64": "é"}, "data_base64"),
        ({"data": {"bucket": "b"}}, "key"),
        ({"subject": 7, "data": NATIVE}, "subject"),
    ],
)
def test_a_wrong_attribute_is_named(attributes: dict[str, Any], named: str) -> None:
    with pytest.raises(EventInvalid, match=f"^{named}: "):
        parse(*structured(**attributes))


def test_unknown_data_without_a_subject_is_unknown() -> None:
    with pytest.raises(EventUnknown, match="its fields are colour"):
        parse(*structured(data={"colour": "red"}))


def test_an_event_of_this_service_is_no_upload() -> None:
    with pytest.raises(EventUnknown, match="this service publishes"):
        parse(*structured(type="tingxie.transcript.ready.v1", subject="audio-in/a.wav", data={"text": "x"}))


def test_broken_data_in_binary_mode_is_no_json() -> None:
    with pytest.raises(EventNotJson):
        parse(*binary(b"{", subject="audio-in/a.wav"))


def test_a_header_that_is_no_text_is_named() -> None:
    with pytest.raises(EventInvalid, match=r"^header ce_subject: expected UTF-8"):
        parse(None, [("ce_specversion", b"1.0"), ("ce_subject", b"\xff")])
