from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import EventInvalid
from consumer.events.parse import parse
from consumer.events.recording import Options, Recording


def encoded(event: object) -> bytes:
    return json.dumps(event).encode()


def test_everything_is_read() -> None:
    event = {
        "id": "call-7",
        "bucket": "audio-in",
        "key": "calls/2026/a b+c.wav",
        "version_id": "v1",
        "etag": '"d41d"',
        "options": {
            "language": "zh",
            "hotwords": ["听写"],
            "channels": "split",
            "timestamps": "sentence",
            "formats": ["srt"],
        },
        "metadata": {"agent": "七"},
    }
    assert parse(encoded(event), []).recordings == (
        Recording(
            bucket="audio-in",
            key="calls/2026/a b+c.wav",
            version_id="v1",
            etag="d41d",
            event_id="call-7",
            options=Options(hotwords=("听写",), channels="split", timestamps="sentence", formats=("srt",)),
            metadata={"agent": "七"},
        ),
    )


def test_bucket_and_key_are_enough() -> None:
    result = parse(encoded({"bucket": "b", "key": "k"}), [])
    assert result.recordings == (Recording(bucket="b", key="k"),)
    assert result.dialect == "native"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60) | st.text("a %+&/2F日🎧", min_size=1))
def test_any_key_survives(key: str) -> None:
    (recording,) = parse(encoded({"bucket": "b", "key": key}), []).recordings
    assert recording.key == key


def test_fields_of_a_newer_sender_are_ignored() -> None:
    assert len(parse(encoded({"bucket": "b", "key": "k", "priority": 9}), []).recordings) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bucket": None}, "bucket: "),
        ({"bucket": ""}, "bucket: "),
        ({"bucket": "a/b"}, "bucket: "),
        ({"bucket": {"name": "b"}}, "bucket: "),
        ({"key": 7}, "key: "),
        ({"key": ""}, "key: "),
        ({"key": "k" * 1025}, "key: "),
        ({"options": None}, "options: "),
        ({"options": {"speed": 2}}, "options.speed: "),
        ({"options": {"channels": "left"}}, "options.channels: "),
        ({"options": {"timestamps": True}}, "options.timestamps: "),
        ({"options": {"hotwords": ["h" * 65]}}, "options.hotwords.0: "),
        ({"options": {"hotwords": ["h"] * 1001}}, "options.hotwords: "),
        ({"options": {"formats": ["exe"]}}, "options.formats.0: "),
        ({"metadata": {"a": 1}}, "metadata.a: "),
        ({"metadata": []}, "metadata: "),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(EventInvalid) as caught:
        parse(encoded({"bucket": "b", "key": "k", **changes}), [])
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize(("event", "missing"), [({"bucket": "b"}, "key"), ({"key": "k"}, "bucket")])
def test_a_missing_field_is_named(event: dict[str, str], missing: str) -> None:
    with pytest.raises(EventInvalid, match=f"^{missing}: "):
        parse(encoded(event), [])


def test_a_message_names_problems_but_holds_no_values() -> None:
    secret = "s3cr3t" * 100
    event = {"bucket": secret, "key": [secret], "options": {secret: secret}, "metadata": {"a": [secret], "b": [secret]}}
    with pytest.raises(EventInvalid) as caught:
        parse(encoded(event), [])
    assert "s3cr3t" * 20 not in str(caught.value)
    assert str(caught.value).endswith("and 1 more")  # of metadata the first
    assert len(str(caught.value)) < 600
