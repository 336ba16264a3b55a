from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import EventInvalid, EventUnknown
from consumer.events.parse import Skipped, parse
from consumer.events.s3 import decode_key

HARD_KEYS = [
    "a b.wav",
    "a+b.wav",
    "100%.wav",
    "a%2Fb/c%2f.wav",
    "%E4%BD%A0.wav",
    "R&D=1?x#y.wav",
    "日本 lecture/a b+c&é.wav",
    "🎧/sound 🎶.mp3",
    'quotes"and\\slashes.wav',
    "/leading/and//double.wav",
    "tilde~star*(paren)!'.wav",
    "plain.wav",
]

# What S3 allows: any UTF-8 text of at most 1,024 bytes; a folder marker is another matter.
object_keys = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)
    | st.text("ab %+&/2F日🎧é", min_size=1, max_size=30)
).filter(lambda key: not key.endswith("/"))


def aws(key: str, **changes: Any) -> dict[str, Any]:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "EXAMPLE"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "uploads",
            "bucket": {"name": "audio-in", "arn": "arn:aws:s3:::audio-in"},
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": 8,
                "eTag": "d41d8cd9",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }
    return {"Records": [{**record, **changes}]}


def minio(key: str) -> dict[str, Any]:
    event = aws(key, eventSource="minio:s3", eventName="s3:ObjectCreated:Put")
    event["Records"][0]["s3"]["object"]["key"] = quote_plus(key)
    return {"EventName": "s3:ObjectCreated:Put", "Key": f"audio-in/{key}", **event}


def versitygw(key: str, name: str = "s3:ObjectCreated:Put", size: int = 8) -> dict[str, Any]:
    event = aws(key, eventVersion="2.2", eventName=name, userIdentity={"PrincipalId": "root"})
    event["Records"][0]["s3"]["configurationId"] = "webhook-global"
    event["Records"][0]["s3"]["object"] = {
        "key": key,
        "size": size,
        "eTag": '"d41d8cd9"',
        "versionId": None,
        "sequencer": "1",
    }
    return event


def ceph(key: str) -> dict[str, Any]:
    event = aws(key, eventVersion="2.2", eventSource="ceph:s3", eventId="1575221657.102001.80dad3aad8584778")
    event["Records"][0]["s3"]["object"] = {"key": key, "size": 8, "eTag": "d41d8cd9", "versionId": "", "tags": []}
    return event


EMITTERS = {"s3-aws": aws, "s3-minio": minio, "s3-versitygw": versitygw, "s3-ceph": ceph}


def encoded(event: object) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def only_key(event: object) -> str:
    (recording,) = parse(encoded(event), []).recordings
    return recording.key


@pytest.mark.parametrize("dialect", EMITTERS)
@pytest.mark.parametrize("key", HARD_KEYS)
def test_a_hard_key_survives_each_emitter(dialect: str, key: str) -> None:
    event = parse(encoded(EMITTERS[dialect](key)), [])
    assert [recording.object_id for recording in event.recordings] == [f"audio-in/{key}"]
    assert event.dialect == dialect


@pytest.mark.parametrize("dialect", EMITTERS)
@given(key=object_keys)
def test_any_key_survives_each_emitter(dialect: str, key: str) -> None:
    assert only_key(EMITTERS[dialect](key)) == key


@given(key=object_keys)
def test_form_decoding_undoes_both_ways_of_encoding_the_slash(key: str) -> None:
    assert decode_key(quote_plus(key)) == key
    assert decode_key(quote_plus(key, safe="/")) == key


@pytest.mark.parametrize("dialect", EMITTERS)
def test_size_and_etag_are_read(dialect: str) -> None:
    (recording,) = parse(encoded(EMITTERS[dialect]("a.wav")), []).recordings
    assert (recording.size, recording.etag, recording.version_id) == (8, "d41d8cd9", None)


def test_an_unknown_emitter_is_taken_to_encode_as_aws_documents() -> None:
    event = aws("a b+c.wav", eventSource="aws:s3", eventName="s3:ObjectCreated:Put")
    assert parse(encoded(event), []).dialect == "s3"
    assert only_key(event) == "a b+c.wav"


@pytest.mark.parametrize("key", ["日本.wav", "a b+c.wav", "100%.wav", "a&b+c.wav", "%FF+.wav"])
def test_a_key_that_no_encoder_wrote_is_left_alone(key: str) -> None:
    event = aws("x", eventSource="other:s3")
    event["Records"][0]["s3"]["object"]["key"] = key
    assert only_key(event) == key


def test_top_level_key_and_event_name_tell_minio_even_with_the_source_of_aws() -> None:
    event = minio("a b+c.wav")
    event["Records"][0]["eventSource"] = "aws:s3"
    assert parse(encoded(event), []).dialect == "s3-minio"
    assert only_key(event) == "a b+c.wav"


def test_a_configuration_of_aws_may_be_named_like_one_of_versitygw() -> None:
    event = aws("a b+c.wav")
    event["Records"][0]["s3"]["configurationId"] = "kafka-global"
    assert parse(encoded(event), []).dialect == "s3-aws"
    assert only_key(event) == "a b+c.wav"


def test_rustfs_writes_like_minio() -> None:
    event = minio("a b+c.wav")
    event["Records"][0]["eventSource"] = "rustfs:s3"
    assert only_key({"Records": event["Records"]}) == "a b+c.wav"


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("s3:ObjectCreated:CompleteMultipartUpload", 0, None),
        ("s3:ObjectCreated:Copy", 0, None),
        ("s3:ObjectCreated:Put", 0, 0),
        ("s3:ObjectCreated:Copy", 9, 9),
    ],
)
def test_versitygw_sizes_of_zero_are_believed_only_for_puts(name: str, size: int, expected: int | None) -> None:
    (recording,) = parse(encoded(versitygw("a.wav", name, size)), []).recordings
    assert recording.size == expected


def test_several_records_are_several_recordings() -> None:
    event = {"Records": aws("a.wav")["Records"] + aws("b.wav")["Records"]}
    assert [recording.key for recording in parse(encoded(event), []).recordings] == ["a.wav", "b.wav"]


def test_what_creates_no_object_is_skipped_beside_what_does() -> None:
    event = {
        "Records": [
            *aws("gone a.wav", eventName="ObjectRemoved:Delete")["Records"],
            *aws("kept.wav")["Records"],
            *aws("old.wav", eventName="LifecycleExpiration:Delete")["Records"],
            *aws("tagged.wav", eventName="ObjectTagging:Put")["Records"],
            *aws("back.wav", eventName="ObjectRestore:Completed")["Records"],
        ]
    }
    result = parse(encoded(event), [])
    assert [recording.key for recording in result.recordings] == ["kept.wav"]
    assert result.skipped == (
        Skipped("removed", "ObjectRemoved:Delete", "audio-in/gone a.wav"),
        Skipped("removed", "LifecycleExpiration:Delete", "audio-in/old.wav"),
        Skipped("not_an_upload", "ObjectTagging:Put", "audio-in/tagged.wav"),
        Skipped("not_an_upload", "ObjectRestore:Completed", "audio-in/back.wav"),
    )


@pytest.mark.parametrize("name", ["PutRetention", "PutLegalHold", "PutTagging", "DeleteTagging"])
def test_minio_changes_of_metadata_are_no_uploads(name: str) -> None:
    event = minio("a.wav")
    event["Records"][0]["eventName"] = f"s3:ObjectCreated:{name}"
    result = parse(encoded(event), [])
    assert result.recordings == ()
    assert [skipped.reason for skipped in result.skipped] == ["not_an_upload"]


def test_ceph_objects_that_arrive_from_another_zone_are_uploads() -> None:
    event = ceph("a+b.wav")
    event["Records"][0]["eventName"] = "ObjectSynced:Create"
    assert only_key(event) == "a+b.wav"


def test_a_removal_is_skipped_even_when_it_is_otherwise_broken() -> None:
    event = {"Records": [{"eventName": "s3:ObjectRemoved:Delete", "s3": {"bucket": None, "object": 7}}]}
    assert parse(encoded(event), []).skipped == (Skipped("removed", "s3:ObjectRemoved:Delete"),)


@pytest.mark.parametrize("event", [aws("calls/"), minio("calls/"), versitygw("calls/"), ceph("calls/")])
def test_a_folder_marker_is_skipped(event: dict[str, Any]) -> None:
    event["Records"][0]["s3"]["object"]["size"] = 0
    result = parse(encoded(event), [])
    assert result.recordings == ()
    assert [(skipped.reason, skipped.object_id) for skipped in result.skipped] == [("folder_marker", "audio-in/calls/")]


def test_a_key_that_ends_in_a_slash_and_has_content_is_a_recording() -> None:
    assert only_key(aws("calls/")) == "calls/"


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-23T08:00:00Z", "Bucket": "audio-in"},
        {"Service": "S3", "Event": "s3:TestEvent", "Time": "2026-11-23T08:00:00Z", "Bucket": "Test-Bucket"},
        {"Event": "s3:TestEvent"},
    ],
)
def test_test_events_are_skipped(event: dict[str, Any]) -> None:
    result = parse(encoded(event), [])
    assert result.recordings == ()
    assert [skipped.reason for skipped in result.skipped] == ["test_event"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["eventName"], None, "Records[0].eventName: expected a string, got null"),
        (["s3"], "x", "Records[0].s3: expected an object, got a string"),
        (["s3", "bucket"], [], "Records[0].s3.bucket: expected an object, got a list"),
        (["s3", "bucket", "name"], 7, "Records[0].s3.bucket.name: expected a string, got a number"),
        (["s3", "bucket", "name"], "a/b", "Records[0].s3.bucket.name: expected a bucket name"),
        (["s3", "bucket", "name"], "", "Records[0].s3.bucket.name: expected a string, got an empty one"),
        (["s3", "object", "key"], True, "Records[0].s3.object.key: expected a string, got a boolean"),
        (["s3", "object", "key"], "k" * 2000, "Records[0].s3.object.key: expected an object key"),
        (["s3", "object", "size"], -1, "Records[0].s3.object.size: expected 0 to"),
        (["s3", "object", "size"], 10**30, "Records[0].s3.object.size: expected a whole number"),
        (["s3", "object", "size"], 2**63, "Records[0].s3.object.size: expected 0 to"),
        (["s3", "object", "size"], 1.5, "Records[0].s3.object.size: expected a whole number"),
        (["s3", "object", "size"], {}, "Records[0].s3.object.size: expected a whole number"),
        (["s3", "object", "eTag"], 1, "Records[0].s3.object.eTag: expected a string"),
        (["s3", "object", "versionId"], [], "Records[0].s3.object.versionId: expected a string"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(path: list[str], value: object, message: str) -> None:
    event = aws("a.wav")
    target = event["Records"][0]
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    with pytest.raises(EventInvalid) as caught:
        parse(encoded(event), [])
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("records", [None, [], {}, "x", [None], [[]]])
def test_records_that_are_no_list_of_objects_are_invalid(records: object) -> None:
    with pytest.raises(EventInvalid, match="Records"):
        parse(encoded({"Records": records}), [])


def test_a_size_in_digits_is_a_number() -> None:
    event = ceph("a.wav")
    event["Records"][0]["s3"]["object"]["size"] = "1024"
    assert parse(encoded(event), []).recordings[0].size == 1024


def test_sns_envelopes_are_opened() -> None:
    envelope = {"Type": "Notification", "MessageId": "1", "Message": json.dumps(aws("a b+c.wav"))}
    assert only_key(envelope) == "a b+c.wav"


@pytest.mark.parametrize("message", [None, "", "not json", 7])
def test_sns_envelopes_without_a_document_are_invalid(message: object) -> None:
    with pytest.raises(EventInvalid, match=r"^Message: "):
        parse(encoded({"Type": "Notification", "Message": message}), [])


@pytest.mark.parametrize("message", ["[]", "{}", '{"a": 1}'])
def test_sns_envelopes_with_something_else_are_unknown(message: str) -> None:
    with pytest.raises(EventUnknown):
        parse(encoded({"Type": "Notification", "Message": message}), [])


def test_eventbridge_keys_are_plain() -> None:
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {
            "bucket": {"name": "audio-in"},
            "object": {"key": "a b+c%20.wav", "size": 5, "etag": "b1946ac9", "version-id": "v1"},
            "reason": "PutObject",
        },
    }
    result = parse(encoded(event), [])
    (recording,) = result.recordings
    assert result.dialect == "eventbridge"
    assert (recording.key, recording.version_id, recording.etag, recording.size) == (
        "a b+c%20.wav",
        "v1",
        "b1946ac9",
        5,
    )
    assert recording.event_id == "17793124-05d4-b198-2fde-7ededc63b103"


@pytest.mark.parametrize(("name", "reason"), [("Object Deleted", "removed"), ("Object Tags Added", "not_an_upload")])
def test_eventbridge_events_of_other_kinds_are_skipped(name: str, reason: str) -> None:
    result = parse(encoded({"source": "aws.s3", "detail-type": name}), [])
    assert result.recordings == ()
    assert [skipped.reason for skipped in result.skipped] == [reason]
