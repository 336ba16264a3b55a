"""What is stored of a transcript, what is sent of it, and how large it is."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.events.headers import MOST_REPLAY_ID
from consumer.events.recording import Recording
from consumer.events.stored import (
    NO_TIMING,
    StoredTranscript,
    document,
    record_bytes,
    reference,
    without_documents,
)
from consumer.events.transcript import Timing, Transcript, cloud_event_headers
from consumer.events.upload import UploadEvent
from tests.unit.events.test_events_transcript import NOON, TRACEPARENT, transcript

HASH = "ab" * 32
STORED = StoredTranscript(f"s3://transcripts/transcripts/{HASH}.json", 77, HASH)


def test_a_document_is_the_whole_transcript_and_named_by_its_content() -> None:
    found = document(transcript())
    assert found.sha256 == hashlib.sha256(found.body).hexdigest()
    assert found.key("transcripts/") == f"transcripts/{found.sha256}.json"
    read = Transcript.model_validate_json(found.body)
    assert read == transcript().model_copy(update={"timing": NO_TIMING})


def test_the_same_transcript_is_the_same_document_however_long_it_took() -> None:
    slow = Timing(queued_ms=9, fetch_ms=9, decode_ms=9, engine_ms=9, total_ms=99)
    assert document(transcript()) == document(transcript(timing=slow))
    assert document(transcript()) != document(transcript(text="你们好。"))


def test_the_event_says_where_the_transcript_lies_and_all_that_is_not_in_segments() -> None:
    event = reference(transcript(), STORED, text=True)
    changed = {"segments": [], "transcript_uri": STORED.uri, "transcript_size": 77, "transcript_sha256": HASH}
    assert json.loads(event.to_bytes()) == json.loads(transcript().to_bytes()) | changed


def test_the_event_warns_where_its_text_is_left_out() -> None:
    event = reference(transcript(warnings=("first",)), STORED, text=False)
    assert event.text == ""
    assert event.status == "completed"
    assert event.warnings[0] == "first"
    assert "transcript_uri" in event.warnings[1]


@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.text("a\n\"'中😀", min_size=1), st.booleans(), st.booleans()
)
def test_a_record_is_never_larger_than_it_is_taken_for(text: str, key: str, traced: bool, replayed: bool) -> None:
    event = transcript(text=text, source={**transcript().source.model_dump(), "key": key})
    trace, replay = TRACEPARENT if traced else None, "r" * MOST_REPLAY_ID if replayed else None
    headers = cloud_event_headers(event, source="tingxie", time=NOON, traceparent=trace, replay=replay)
    # What the client counts at most (rd_kafka_msg_max_wire_size): 36 bytes beside the content, 5 for each length.
    framing = 36 + sum(10 for _ in headers)
    content = len(event.to_bytes()) + len(event.object_id.encode())
    actual = framing + content + sum(len(name) + len(value) for name, value in headers)
    assert actual <= record_bytes(event, "tingxie") <= actual + 300


def upload(*places: tuple[str, str]) -> UploadEvent:
    return UploadEvent(tuple(Recording(bucket=bucket, key=key) for bucket, key in places), (), "s3")


def test_stored_transcripts_are_no_uploads() -> None:
    event = upload(("audio-in", "a.wav"), ("audio-in", f"transcripts/{HASH}.json"))
    left = without_documents(event, "audio-in", "transcripts/")
    assert [each.key for each in left.recordings] == ["a.wav"]
    (skipped,) = left.skipped
    assert (skipped.reason, skipped.object_id) == ("stored_transcript", f"audio-in/transcripts/{HASH}.json")


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("audio-out", f"transcripts/{HASH}.json"),
        ("audio-in", f"{HASH}.json"),
        ("audio-in", f"transcripts/{HASH}.wav"),
        ("audio-in", f"transcripts/x/{HASH}.json"),
        ("audio-in", "transcripts/a.wav"),
    ],
)
def test_what_others_wrote_is_left_alone(bucket: str, key: str) -> None:
    event = upload((bucket, key))
    assert without_documents(event, "audio-in", "transcripts/") is event
    assert without_documents(event, "", "transcripts/") is event
