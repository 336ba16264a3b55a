from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import StorageUnavailable
from consumer.events.copies import Origin, origin_of, redriven, redrives, replayed
from consumer.events.deadletter import DeadLetter
from consumer.events.headers import replay_id
from consumer.events.retry import Story, retry_headers
from tests.unit.events.letters import letter_headers

LETTER = Origin("uploads.dead-letter", 2, 41)
ORIGINAL: list[tuple[str, bytes | None]] = [("ce_id", b"7"), ("traceparent", b"00-1"), ("empty", None)]


def failed(headers: list[tuple[str, bytes | None]], recording_id: str | None = None) -> list[tuple[str, bytes | None]]:
    """Headers of a record that failed for good after a round in a retry topic."""
    story = Story("uploads", 1, 7, first_seen_ms=5)
    retried = list(retry_headers(headers, story, not_before_ms=9, recording_id=recording_id))
    return letter_headers(
        retried,
        topic="uploads",
        partition=1,
        offset=7,
        error=StorageUnavailable("audio-in/a.wav: 503"),
        recording_id=recording_id,
        history=b"[]",
    )


def test_a_redrive_leaves_the_original_headers_and_says_what_it_is() -> None:
    assert redriven(failed(ORIGINAL), LETTER) == [
        *ORIGINAL,
        ("tingxie-redrives", b"1"),
        ("tingxie-copy-of", b"uploads.dead-letter/2/41"),
    ]


def test_the_recording_that_failed_is_still_named() -> None:
    headers = redriven(failed(ORIGINAL, "audio-in/a.wav"), LETTER)
    assert dict(headers)["tingxie-recording"] == b"audio-in/a.wav"


def test_redrives_are_counted_through_every_failure() -> None:
    headers = list(ORIGINAL)
    for count in range(1, 4):
        headers = redriven(failed(headers), LETTER)
        assert redrives(failed(headers)) == count
    assert len(headers) == len(ORIGINAL) + 2


def test_headers_of_other_frameworks_do_not_travel_back() -> None:
    names = ("kafka_dlt-exception-stacktrace", "__connect.errors.task.id", "kafka_original-timestamp", "retry_topic-x")
    headers = redriven([*((name, b"0") for name in names), ("mine", b"1")], LETTER)
    assert [name for name, _ in headers] == ["mine", "tingxie-redrives", "tingxie-copy-of"]


def test_a_replay_names_itself_its_record_and_the_recording_that_is_wanted() -> None:
    record = Origin("uploads", 0, 3)
    once = replayed(ORIGINAL, record, "upgrade-1", None)
    assert once == [*ORIGINAL, ("tingxie-replay", b"upgrade-1"), ("tingxie-copy-of", b"uploads/0/3")]
    assert replay_id(once) == "upgrade-1"
    asked = replayed(once, record, "upgrade-1", None, "v2.1.0")
    assert dict(asked)["tingxie-for-model"] == b"v2.1.0"
    again = replayed(asked, Origin("uploads", 0, 9), "upgrade-2", "audio-in/a.wav")
    assert dict(again) == {
        **dict(ORIGINAL),
        "tingxie-recording": b"audio-in/a.wav",
        "tingxie-replay": b"upgrade-2",
        "tingxie-copy-of": b"uploads/0/9",
    }
    assert len(again) == len(dict(again))


@given(st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True), st.integers(0, 99), st.integers(0, 2**60))
def test_an_origin_survives_its_header(topic: str, partition: int, offset: int) -> None:
    origin = Origin(topic, partition, offset)
    assert Origin.parse(str(origin)) == origin
    assert origin_of([("tingxie-copy-of", str(origin).encode())]) == origin


@pytest.mark.parametrize("written", ["", "t", "t/1", "t/1/2/3", "/1/2", "t/-1/2", "t/1/x", "t/1/²"])
def test_what_is_no_origin_is_none(written: str) -> None:
    assert Origin.parse(written) is None


@pytest.mark.parametrize("value", [b"", b"a b", b"-a", b"a" * 65, b"\xff", "ü".encode()])
def test_what_can_be_no_id_is_no_replay(value: bytes) -> None:
    assert replay_id([("tingxie-replay", value)]) is None


SPRING = [
    ("kafka_dlt-original-topic", b"orders"),
    ("kafka_dlt-original-partition", (3).to_bytes(4, "big")),
    ("kafka_dlt-original-offset", (12345).to_bytes(8, "big")),
    ("kafka_dlt-original-consumer-group", b"billing"),
    ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
    ("kafka_dlt-exception-cause-fqcn", b"java.net.SocketTimeoutException"),
    ("kafka_dlt-exception-message", b"Listener failed"),
]
CONNECT = [
    ("__connect.errors.topic", b"orders"),
    ("__connect.errors.partition", b"3"),
    ("__connect.errors.offset", b"12345"),
    ("__connect.errors.stage", b"VALUE_CONVERTER"),
    ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
    ("__connect.errors.exception.message", b"not JSON"),
]


def test_dead_letters_of_spring_are_read() -> None:
    letter = DeadLetter.from_headers([*SPRING])
    assert (letter.topic, letter.partition, letter.offset, letter.group) == ("orders", 3, 12345, "billing")
    assert (letter.code, letter.message) == ("java.net.SocketTimeoutException", "Listener failed")
    renamed = [(name.replace("kafka_dlt-", "kafka_"), value) for name, value in SPRING]
    assert DeadLetter.from_headers([*renamed]) == letter


def test_dead_letters_of_connect_are_read() -> None:
    letter = DeadLetter.from_headers([*CONNECT])
    assert (letter.topic, letter.partition, letter.offset) == ("orders", 3, 12345)
    assert (letter.code, letter.stage) == ("org.apache.kafka.connect.errors.DataException", "VALUE_CONVERTER")
    assert letter.message == "not JSON"


def test_our_own_headers_win_over_others() -> None:
    letter = DeadLetter.from_headers([*CONNECT, *failed([])])
    assert (letter.topic, letter.offset, letter.code) == ("uploads", 7, "storage_unavailable")


@given(st.binary(max_size=12))
def test_any_bytes_are_a_number_or_none(value: bytes) -> None:
    offset = DeadLetter.from_headers([("kafka_dlt-original-offset", value)]).offset
    assert offset is None or offset >= 0
