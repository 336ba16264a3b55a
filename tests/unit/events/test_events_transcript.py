from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumer.events.recording import Options, Recording
from consumer.events.transcript import Transcript, cloud_event_headers, transcript_id

RECORDING = Recording(bucket="audio-in", key="calls/日本 a+b.wav")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOON = datetime(2026, 11, 23, 12, 0, 0, 125_000, tzinfo=timezone.utc)

VALUES: dict[str, Any] = {
    "id": "5f0c",
    "status": "completed",
    "source": {
        "bucket": "audio-in",
        "key": "calls/日本 a+b.wav",
        "etag": "d41d",
        "size": 8,
        "format": "wav",
        "codec": "pcm_s16le",
        "sample_rate": 16000,
        "channels": 1,
    },
    "duration_ms": 1000,
    "speech_ms": 900,
    "language": "zh",
    "text": "你好。",
    "confidence": 0.9,
    "segments": [
        {
            "id": 0,
            "channel": 0,
            "start_ms": 50,
            "end_ms": 950,
            "text": "你好。",
            "confidence": 0.9,
            "words": [{"text": "你", "start_ms": 50, "end_ms": 400}, {"text": "好", "start_ms": 400, "end_ms": 900}],
        }
    ],
    "model": {"name": "m", "revision": "r", "vad": "v", "punctuation": "", "dtype": "float32"},
    "timing": {"queued_ms": 1, "fetch_ms": 2, "decode_ms": 3, "engine_ms": 4, "total_ms": 10},
}


def transcript(**changes: Any) -> Transcript:
    return Transcript.model_validate({**VALUES, **changes})


def test_the_value_holds_every_field_of_the_contract() -> None:
    value = json.loads(transcript().to_bytes())
    assert value == {
        **VALUES,
        "source": {**VALUES["source"], "version_id": None},
        "transcript_uri": None,
        "transcript_size": None,
        "transcript_sha256": None,
        "exports": {},
        "metadata": {},
        "warnings": [],
    }


def test_the_value_is_readable_utf_8() -> None:
    assert "你好。".encode() in transcript().to_bytes()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 1), st.integers(0, 2**40))
def test_a_transcript_comes_back_from_its_bytes(text: str, confidence: float, duration_ms: int) -> None:
    original = transcript(text=text, confidence=confidence, duration_ms=duration_ms, metadata={"a": text})
    assert Transcript.model_validate_json(original.to_bytes()) == original


@pytest.mark.parametrize("timestamps", ["none", "sentence"])
def test_coarser_timestamps_can_be_said(timestamps: str) -> None:
    segment = {name: value for name, value in VALUES["segments"][0].items() if name != "words"}
    shown = transcript(segments=[] if timestamps == "none" else [segment])
    assert all(each.words == () for each in shown.segments)


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": 1.01},
        {"confidence": float("nan")},
        {"duration_ms": -1},
        {"status": "failed"},
        {"id": ""},
        {"transcript_sha256": "xyz"},
    ],
)
def test_an_impossible_transcript_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        transcript(**changes)


def test_a_reader_ignores_fields_of_a_newer_service() -> None:
    newer = {**json.loads(transcript().to_bytes()), "speakers": 2}
    assert Transcript.model_validate(newer) == transcript()


def test_an_id_is_the_same_for_the_same_work() -> None:
    first = transcript_id(RECORDING, '"d41d"', None, "v2.0.4")
    again = RECORDING.model_copy(update={"event_id": "2", "metadata": {"a": "b"}, "size": 9, "etag": "other"})
    assert first == transcript_id(again, "d41d", None, "v2.0.4")
    assert first == transcript_id(RECORDING, "d41d", "null", "v2.0.4")
    assert first == transcript_id(
        RECORDING.model_copy(update={"options": Options(language="zh")}), "d41d", "", "v2.0.4"
    )


def test_ids_do_not_change_between_releases() -> None:
    assert transcript_id(RECORDING, "d41d", None, "v2.0.4") == "f20346519fda9367634299a823dc7b3b"
    split = RECORDING.model_copy(update={"options": Options(channels="split", hotwords=("听写",))})
    assert transcript_id(split, "d41d", "v1", "v2.0.4") == "07d8f6b9f409383bc445696fdcfe30e0"


def test_an_id_differs_where_the_work_differs() -> None:
    other_options = [
        Options(channels="split"),
        Options(hotwords=("听",)),
        Options(formats=("srt",)),
        Options(language="en"),
    ]
    ids = [
        transcript_id(RECORDING, "d41d", None, "v2.0.4"),
        transcript_id(RECORDING, "d41e", None, "v2.0.4"),
        transcript_id(RECORDING, "d41d", "v1", "v2.0.4"),
        transcript_id(RECORDING, "d41d", "d41d", "v2.0.4"),
        transcript_id(RECORDING, "d41d", None, "v2.0.5"),
        transcript_id(RECORDING.model_copy(update={"key": "x"}), "d41d", None, "v2.0.4"),
        transcript_id(Recording(bucket="a", key="b/c"), "d41d", None, "v2.0.4"),
        transcript_id(Recording(bucket="a/b", key="c"), "d41d", None, "v2.0.4"),
        *(
            transcript_id(RECORDING.model_copy(update={"options": each}), "d41d", None, "v2.0.4")
            for each in other_options
        ),
    ]
    assert len(set(ids)) == len(ids)


def test_headers_are_a_cloudevent_in_binary_mode() -> None:
    assert cloud_event_headers(transcript(), "tingxie/eu", NOON, TRACEPARENT) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"5f0c"),
        ("ce_type", b"tingxie.transcript.ready.v1"),
        ("ce_source", b"tingxie/eu"),
        ("ce_subject", "audio-in/calls/日本 a+b.wav".encode()),
        ("ce_time", b"2026-11-23T12:00:00.125Z"),
        ("content-type", b"application/json"),
        ("traceparent", TRACEPARENT.encode()),
    ]


@pytest.mark.parametrize("traceparent", [None, "", "not a trace"])
def test_no_or_an_invalid_trace_context_is_not_carried_on(traceparent: str | None) -> None:
    assert "traceparent" not in dict(cloud_event_headers(transcript(), "tingxie", NOON, traceparent))


def test_times_are_told_in_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=8)))
    assert dict(cloud_event_headers(transcript(), "tingxie", elsewhere, None))["ce_time"] == b"2026-11-23T12:00:00.125Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        cloud_event_headers(transcript(), "tingxie", NOON.replace(tzinfo=None), None)
