"""Reading to a fixed end, whatever the end of a partition looks like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Producer, TopicPartition

from consumer.errors import BrokerUnavailable
from consumer.kafka.spans import Span, SpanReader
from consumer.settings import KafkaSettings
from tests.conftest import Topics
from tests.integration.harness import produce
from tests.servers import KafkaServer


@pytest.fixture
def reader(kafka: KafkaServer, topics: Topics) -> Iterator[SpanReader]:  # noqa: ARG001 - it asks for the topics once
    with closing(SpanReader(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, startup_timeout_s=20))) as reader:
        yield reader


def values(reader: SpanReader, spans: dict[tuple[str, int], Span]) -> list[bytes | None]:
    return sorted((record.value for record in reader.read(spans)), key=lambda value: value or b"")


def test_the_end_is_where_it_was_when_it_was_asked_for(kafka: KafkaServer, topics: Topics, reader: SpanReader) -> None:
    for number in range(8):
        produce(kafka.bootstrap_servers, topics.uploads, b"%d" % number, partition=number % 3)
    spans = reader.whole(topics.uploads)
    assert sum(map(len, spans.values())) == 8
    for number in range(4):
        produce(kafka.bootstrap_servers, topics.uploads, b"later", partition=number)
    expected = [b"%d" % number for number in range(8)]
    assert values(reader, spans) == expected
    assert values(reader, spans) == expected, "a second time, too"
    assert values(reader, {(topics.uploads, 0): Span(1, 2)}) == [b"3"]
    assert values(reader, {}) == []


def test_a_span_that_ends_with_no_record_ends(kafka: KafkaServer, topics: Topics, reader: SpanReader) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topics.transcripts})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topics.transcripts, b"committed")
    producer.commit_transaction(20)
    # The end of a transaction takes an offset itself, and the broker writes it after it has answered.
    while (spans := reader.whole(topics.transcripts)) != {(topics.transcripts, 0): Span(0, 2)}:
        pass
    assert values(reader, spans) == [b"committed"]
    gone: list[object] = []
    assert len(list(reader.read(spans, lambda *lost: gone.append(lost)))) == 1
    assert gone == [], "that offset was never a record"


def test_what_retention_has_removed_of_a_span_is_told(kafka: KafkaServer, topics: Topics, reader: SpanReader) -> None:
    for number in range(8):
        produce(kafka.bootstrap_servers, topics.uploads, b"%d" % number, partition=number % 2)
    first, second = (topics.uploads, 0), (topics.uploads, 1)
    spans = {first: Span(0, 4), second: Span(0, 4)}
    gone: dict[tuple[str, int], Span] = {}
    assert len(list(reader.read(spans, gone.__setitem__))) == 8
    assert gone == {}
    for removed in kafka.admin.delete_records([TopicPartition(*first, 3), TopicPartition(*second, 4)]).values():
        removed.result(20)
    assert [record.value for record in reader.read(spans, gone.__setitem__)] == [b"6"]
    assert gone == {first: Span(0, 3), second: Span(0, 4)}
    anew = {(topics.uploads, 2): Span(5, 9)}
    assert list(reader.read(anew, gone.__setitem__)) == []
    assert gone[topics.uploads, 2] == Span(5, 9), "a topic that was made anew"


def test_a_person_who_reads_is_not_told_where_to_begin_by_what_the_service_is_told(
    kafka: KafkaServer, topics: Topics
) -> None:
    latest = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers, startup_timeout_s=20, properties={"auto.offset.reset": "latest"}
    )
    for number in range(4):
        produce(kafka.bootstrap_servers, topics.uploads, b"%d" % number, partition=0)
    for removed in kafka.admin.delete_records([TopicPartition(topics.uploads, 0, 2)]).values():
        removed.result(20)
    with closing(SpanReader(latest)) as reader:
        assert values(reader, {(topics.uploads, 0): Span(0, 4)}) == [b"2", b"3"]


def test_a_span_begins_at_a_time(kafka: KafkaServer, topics: Topics, reader: SpanReader) -> None:
    produce(kafka.bootstrap_servers, topics.transcripts, b"first")
    whole = reader.whole(topics.transcripts)
    (first,) = reader.read(whole)
    assert reader.since(whole, first.timestamp_ms) == whole
    assert len(reader.since(whole, first.timestamp_ms + 1)[topics.transcripts, 0]) == 0


def test_a_topic_that_is_not_there_is_named(reader: SpanReader) -> None:
    with pytest.raises(BrokerUnavailable, match="no topic nowhere"):
        reader.whole("nowhere")
