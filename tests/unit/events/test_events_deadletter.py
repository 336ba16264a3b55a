from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import EventInvalid, EventNotJson, ObjectMissing, RecordingError, StorageUnavailable
from consumer.events.deadletter import MAX_MESSAGE_BYTES, NAMES, DeadLetter, bounded
from consumer.events.headers import HISTORY, RECORDING, Headers
from tests.unit.events.letters import letter_headers


def test_headers_are_those_of_the_contract() -> None:
    assert dict(letter_headers()) == {
        "__dlq.errors.topic": b"audio-uploaded",
        "__dlq.errors.partition": b"3",
        "__dlq.errors.offset": b"41",
        "__dlq.errors.group": b"tingxie",
        "__dlq.errors.delivery.count": b"2",
        "__dlq.errors.message": "audio-in/日.wav does not exist".encode(),
        "__dlq.errors.class": b"object_missing",
        "__dlq.errors.stage": b"fetch",
        "__dlq.errors.retryable": b"false",
        "__dlq.errors.timestamp": b"1795000000000",
        "kafka_dlt-original-topic": b"audio-uploaded",
        "kafka_dlt-original-partition": b"3",
        "kafka_dlt-original-offset": b"41",
        "tingxie-recording": "audio-in/日.wav".encode(),
    }


def test_original_headers_come_first_and_stay_as_they_were() -> None:
    original: Headers = [("b", b"\xff\x00"), ("a", None), ("b", b"2"), ("traceparent", b"x")]
    assert letter_headers(original)[:4] == list(original)


def test_a_second_failure_replaces_the_headers_of_the_first() -> None:
    first = letter_headers([("a", b"1")])
    second = letter_headers(first, error=StorageUnavailable("503"), offset=42, delivery_count=3)
    assert len(second) == len(first)
    assert second[0] == ("a", b"1")
    letter = DeadLetter.from_headers(second)
    assert (letter.code, letter.offset, letter.delivery_count, letter.retryable) == ("storage_unavailable", 42, 3, True)


def test_the_recording_is_replaced_when_known_and_kept_when_not() -> None:
    original: Headers = [(RECORDING, b"audio-in/x.wav")]
    known = [value for name, value in letter_headers(original) if name == RECORDING]
    unknown = [value for name, value in letter_headers(original, recording_id=None) if name == RECORDING]
    assert known == ["audio-in/日.wav".encode()]
    assert unknown == [b"audio-in/x.wav"]
    assert RECORDING not in dict(letter_headers(recording_id=None))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*NAMES.values(), "a", "b"]) | st.text(max_size=5), st.none() | st.binary(max_size=9)
        ),
        max_size=8,
    ),
    st.text(max_size=3000),
    st.sampled_from([EventNotJson, EventInvalid, StorageUnavailable]),
)
def test_whatever_the_original_headers_nothing_is_there_twice(
    original: list[tuple[str, bytes | None]], message: str, cause: type[RecordingError]
) -> None:
    headers = letter_headers(original, error=cause(message))
    names = [name for name, _ in headers]
    assert all(names.count(name) == (name != HISTORY) for name in NAMES.values()), "it was tried in one round only"
    kept = [(name, value) for name, value in headers if name not in NAMES.values()]
    assert kept == [(name, value) for name, value in original if name not in NAMES.values()]
    letter = DeadLetter.from_headers(headers)
    assert (letter.topic, letter.partition, letter.offset, letter.group) == ("audio-uploaded", 3, 41, "tingxie")
    assert (letter.code, letter.stage, letter.retryable) == (cause.code, cause.stage, cause.retryable)
    assert (letter.timestamp_ms, letter.recording) == (1_795_000_000_000, "audio-in/日.wav")
    assert letter.message is not None
    assert len(letter.message.encode()) <= MAX_MESSAGE_BYTES


@given(st.text(), st.integers(3, 50))
def test_messages_are_cut_between_characters(message: str, limit: int) -> None:
    cut = bounded(message, limit)
    assert len(cut.encode()) <= limit
    whole = message.encode(errors="replace").decode()
    assert cut == whole or (cut.endswith("…") and whole.startswith(cut[:-1]))


def test_a_message_with_half_a_character_can_be_sent() -> None:
    assert bounded("file \udcff.wav") == "file ?.wav"


@given(st.lists(st.tuples(st.sampled_from([*NAMES.values(), "a"]), st.none() | st.binary(max_size=30)), max_size=20))
def test_any_headers_can_be_read(headers: list[tuple[str, bytes | None]]) -> None:
    DeadLetter.from_headers(headers)


@pytest.mark.parametrize("value", [b"-1", b"1.5", b"x", b"", b"9" * 100, "٣".encode()])
def test_a_number_that_is_none_is_unknown(value: bytes) -> None:
    assert DeadLetter.from_headers([("__dlq.errors.offset", value)]).offset is None


def test_a_record_of_somebody_else_tells_nothing() -> None:
    letter = DeadLetter.from_headers([("a", b"1")])
    assert set(dataclasses.astuple(letter)) == {None}


def test_a_signature_in_a_key_is_not_in_the_message() -> None:
    error = ObjectMissing("audio-in/https://storage/a.wav?X-Amz-Signature=hunter2: does not exist")
    message = dict(letter_headers(error=error))["__dlq.errors.message"]
    assert message == b"audio-in/https://storage/a.wav?X-Amz-Signature=**********: does not exist"
