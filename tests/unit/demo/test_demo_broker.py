from __future__ import annotations

import time
from contextlib import closing

import pytest

from consumer.demo.broker import EmbeddedBroker, embedded_broker
from consumer.demo.endings import ending
from consumer.demo.samples import Ending
from consumer.kafka.follow import Follower
from consumer.kafka.records import Record
from consumer.settings import TopicSettings
from tests.unit.demo.topics import follow, record

TOPICS = TopicSettings()
EVENT = b'{"bucket": "audio-in", "key": "a b.wav"}'


def read(reader: Follower, count: int) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 20
    while len(records) < count and time.monotonic() < deadline:
        records += reader.read()
    return records


def test_what_is_published_is_read_back_by_another_client() -> None:
    with embedded_broker(("one", "two")) as broker:
        broker.publish("one", "k", b"before the reader came")
        with closing(follow(broker.address, "one", "two")) as reader:
            broker.publish("two", "k", b"after")
            records = read(reader, 2)
            assert {(each.topic, each.value) for each in records} == {
                ("one", b"before the reader came"),
                ("two", b"after"),
            }
            assert reader.read() == []


def test_two_brokers_share_nothing() -> None:
    with embedded_broker(("one",)) as first, embedded_broker(("one",)) as second:
        assert first.address != second.address
        first.publish("one", "k", b"v")
        with closing(follow(second.address, "one")) as reader:
            second.publish("one", "k", b"w")
            assert [each.value for each in read(reader, 1)] == [b"w"]
            assert reader.read() == []


def test_topics_appear_when_asked_for() -> None:
    broker = EmbeddedBroker()
    broker.create_topics(("late",))
    with closing(follow(broker.address, "late")) as reader:
        broker.publish("late", "k", b"v")
        assert len(read(reader, 1)) == 1


def test_a_dead_letter_names_the_object_of_its_event() -> None:
    headers = [("__dlq.errors.class", b"not_media")]
    told = ending(record(TOPICS.dead_letters, EVENT, headers), TOPICS)
    assert told == ("a b.wav", Ending("dead-letter", error_class="not_media"))


@pytest.mark.parametrize("value", [b"", b"no json", b'{"Records": []}'])
def test_a_dead_letter_about_no_object_is_no_ending(value: bytes) -> None:
    assert ending(record(TOPICS.dead_letters, value, []), TOPICS) is None


def test_other_topics_tell_no_ending() -> None:
    assert ending(record(TOPICS.uploads, EVENT, []), TOPICS) is None
