from __future__ import annotations

from consumer.kafka.records import Record
from consumer.kafka.retries import Waiting, all_topics, retry_topics
from consumer.settings import RetrySettings, Settings, TopicSettings

SETTINGS = Settings(retry=RetrySettings(delays=("30s", "5m", "1h")), topics=TopicSettings(uploads="calls"))


def record(partition: int, offset: int = 0) -> Record:
    return Record("calls.retry.30s", partition, offset, None, b"{}", [], 0)


def test_there_is_a_topic_for_each_delay() -> None:
    topics = retry_topics(SETTINGS)
    assert topics.names == ["calls.retry.30s", "calls.retry.5m", "calls.retry.1h"]
    assert [topics.delay_ms(each) for each in topics.names] == [30_000, 300_000, 3_600_000]
    assert topics.delay_ms("calls") == 0
    assert all_topics(SETTINGS)[0] == "calls"
    assert set(topics.names) < set(all_topics(SETTINGS))


def test_a_recording_goes_from_one_to_the_next_and_then_nowhere() -> None:
    topics = retry_topics(SETTINGS)
    assert "calls" not in topics
    way = ["calls"]
    while (following := topics.after(way[-1])) is not None:
        way.append(following.name)
        assert following.name in topics
    assert way == ["calls", *topics.names]


def test_without_delays_there_is_no_other_round() -> None:
    topics = retry_topics(Settings(retry=RetrySettings(delays=())))
    assert topics.names == []
    assert topics.after("audio-uploaded") is None


def test_records_come_back_when_they_are_due() -> None:
    waiting = Waiting()
    waiting.put(record(0), 1000)
    waiting.put(record(1), 2000)
    assert waiting.partitions == {("calls.retry.30s", 0), ("calls.retry.30s", 1)}
    assert waiting.take(999) == []
    assert waiting.take(1500) == [record(0)]
    assert waiting.partitions == {("calls.retry.30s", 1)}
    waiting.drop([("calls.retry.30s", 1), ("calls", 7)])
    assert waiting.take(10_000) == []
