from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import EventInvalid
from consumer.events.parse import Skipped, parse


def oss(key: str, name: str = "ObjectCreated:PutObject", size: int = 8) -> dict[str, Any]:
    return {
        "eventName": name,
        "eventSource": "acs:oss",
        "eventVersion": "1.0",
        "oss": {
            "bucket": {"arn": "acs:oss:cn-hangzhou:1:audio-in", "name": "audio-in"},
            "object": {"deltaSize": size, "eTag": "688A7BF4F233DC9C88A80BF985AB7329", "key": key, "size": size},
            "ossSchemaVersion": "1.0",
        },
        "region": "cn-hangzhou",
    }


def encoded(event: object) -> bytes:
    return json.dumps(event).encode()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60) | st.text("a %+&/2F日🎧", min_size=1))
def test_any_key_survives(key: str) -> None:
    (recording,) = parse(encoded({"events": [oss(key)]}), []).recordings
    assert recording.object_id == f"audio-in/{key}"


def test_all_fields_are_read() -> None:
    result = parse(encoded({"events": [oss("a.wav")]}), [])
    (recording,) = result.recordings
    assert result.dialect == "oss"
    assert (recording.size, recording.etag) == (8, "688A7BF4F233DC9C88A80BF985AB7329")


def test_a_single_event_needs_no_list() -> None:
    (recording,) = parse(encoded(oss("a b+c.wav", "oss:ObjectCreated:PostObject")), []).recordings
    assert recording.key == "a b+c.wav"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ObjectRemoved:DeleteObject", "removed"),
        ("ObjectReplication:ObjectRemoved", "removed"),
        ("ObjectDownloaded:GetObject", "not_an_upload"),
        ("ObjectCreated:InitiateMultipartUpload", "incomplete_upload"),
        ("ObjectCreated:UploadPart", "incomplete_upload"),
        ("ObjectCreated:UploadPartCopy", "incomplete_upload"),
    ],
)
def test_what_makes_no_object_is_skipped(name: str, reason: str) -> None:
    result = parse(encoded({"events": [oss("a.wav", name), oss("b.wav", "ObjectCreated:CompleteMultipartUpload")]}), [])
    assert [(skipped.reason, skipped.object_id) for skipped in result.skipped] == [(reason, "audio-in/a.wav")]
    assert [recording.key for recording in result.recordings] == ["b.wav"]


@pytest.mark.parametrize("name", ["ObjectReplication:ObjectCreated", "ObjectReplication:ObjectModified"])
def test_replicas_are_uploads(name: str) -> None:
    assert len(parse(encoded({"events": [oss("a.wav", name)]}), []).recordings) == 1


def test_a_folder_marker_is_skipped() -> None:
    result = parse(encoded({"events": [oss("calls/", size=0)]}), [])
    assert result.skipped == (Skipped("folder_marker", "ObjectCreated:PutObject", "audio-in/calls/"),)


@pytest.mark.parametrize("events", [None, {}, [], [1], [{}], [{"eventName": "ObjectCreated:PutObject"}]])
def test_broken_notifications_are_invalid(events: object) -> None:
    with pytest.raises(EventInvalid, match="events"):
        parse(encoded({"events": events}), [])


def test_a_removal_is_skipped_even_when_it_is_otherwise_broken() -> None:
    broken = {"eventName": "ObjectRemoved:DeleteObject", "oss": {"bucket": {"name": 1}, "object": {}}}
    assert parse(encoded({"events": [broken]}), []).skipped == (Skipped("removed", "ObjectRemoved:DeleteObject"),)
