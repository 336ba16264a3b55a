from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone

import pytest
from confluent_kafka import Producer

from consumer.errors import BrokerUnavailable, NotMedia
from consumer.kafka.follow import Follower, Start
from consumer.settings import KafkaSettings
from tests.conftest import Topics
from tests.integration.harness import produce
from tests.integration.shell import Command, tingxie
from tests.servers import KafkaServer
from tests.unit.events.letters import letter_headers
from tests.unit.transcript.speech import span, transcript_of

TRANSCRIPT = transcript_of([span("你 好。")]).to_bytes()
DEAD = letter_headers(error=NotMedia("broken.mp3: nothing to decode"), recording_id="audio-in/broken.mp3")


def settings(kafka: KafkaServer) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, startup_timeout_s=20)


def values(follower: Follower, count: int) -> list[bytes | None]:
    """The next so many records."""

    def polled() -> Iterator[bytes | None]:
        while True:
            if (record := follower.poll(0.2)) is not None:
                yield record.value

    source = polled()
    return [next(source) for _ in range(count)]


def test_watch_shows_what_comes_and_ends_at_its_limit(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    produce(kafka.bootstrap_servers, topics.transcripts, b"from before", key=b"old")
    with Command(environment, "watch", "--limit", "2") as watching:
        assert (
            watching.complaint() == f"tingxie: watching {topics.transcripts} and {topics.dead_letters}; Ctrl-C ends\n"
        )
        produce(kafka.bootstrap_servers, topics.transcripts, TRANSCRIPT, key=b"audio-in/a.wav")
        first = json.loads(watching.result())
        headers = [(name, value or b"") for name, value in DEAD]
        produce(kafka.bootstrap_servers, topics.dead_letters, b"original", key=b"k", headers=headers)
        code, out, err = watching.end()
    second = json.loads(out)
    assert (code, err) == (0, "")
    assert first["transcript"] == json.loads(TRANSCRIPT)
    assert first["key"] == "audio-in/a.wav"
    assert second["dead_letter"]["class"] == "not_media"
    assert second["dead_letter"]["recording"] == "audio-in/broken.mp3"
    assert second["value"] == "original"


def test_watch_from_the_beginning_leaves_no_trace(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    for number in range(3):
        produce(kafka.bootstrap_servers, topics.transcripts, f"record {number}".encode())
    produce(kafka.bootstrap_servers, topics.dead_letters, b"dead")
    words = ("watch", "--from-beginning", "--limit", "3", "--no-dead-letters", "--json")
    code, out, _ = tingxie(environment, *words)
    assert code == 0
    assert [json.loads(line)["value"] for line in out.splitlines()] == ["record 0", "record 1", "record 2"]
    groups = kafka.admin.list_consumer_groups().result(timeout=20)
    assert "tingxie-follow" not in {group.group_id for group in groups.valid}


def test_ctrl_c_ends_watch_without_a_word(environment: dict[str, str]) -> None:
    with Command(environment, "watch") as watching:
        assert "watching" in watching.complaint()
        watching.interrupt()
        assert watching.end() == (130, "", "")


def test_a_reader_that_goes_away_ends_watch_without_a_word(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    with Command(environment, "watch", "--from-beginning") as watching:
        assert "watching" in watching.complaint()
        assert watching.process.stdout is not None
        watching.process.stdout.close()
        produce(kafka.bootstrap_servers, topics.transcripts, TRANSCRIPT)
        assert watching.process.wait(60) == 1
        assert watching.process.stderr is not None
        assert watching.process.stderr.read() == ""


def test_watch_names_a_topic_that_is_not_there(environment: dict[str, str]) -> None:
    code, out, err = tingxie(environment | {"TINGXIE_TOPICS__TRANSCRIPTS": "nowhere"}, "watch")
    assert (code, out) == (1, "")
    assert err.startswith("tingxie: no topic nowhere on ")
    assert "check --create-topics" in err


@pytest.mark.parametrize("partitions", [1, 4])
def test_follower_starts_where_it_is_told(kafka: KafkaServer, topics: Topics, partitions: int) -> None:
    topic = topics.uploads if partitions > 1 else topics.transcripts
    for number in range(8):
        produce(kafka.bootstrap_servers, topic, b"%d" % number, partition=number % partitions)
    with closing(Follower(settings(kafka), [topic], "beginning")) as everything:
        assert sorted(value or b"" for value in values(everything, 8)) == [b"%d" % number for number in range(8)]
    with closing(Follower(settings(kafka), [topic], "end")) as news:
        produce(kafka.bootstrap_servers, topic, b"news")
        assert values(news, 1) == [b"news"]


def test_follower_starts_at_a_time(kafka: KafkaServer, topics: Topics) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    now = round(datetime.now(timezone.utc).timestamp() * 1000)
    for age_ms in (60_000, 40_000, 20_000):
        producer.produce(topics.transcripts, str(age_ms), timestamp=now - age_ms)
    producer.flush(20)
    with closing(Follower(settings(kafka), [topics.transcripts], now - 50_000)) as recent:
        assert values(recent, 2) == [b"40000", b"20000"]
    with closing(Follower(settings(kafka), [topics.transcripts], now + 60_000)) as later:
        produce(kafka.bootstrap_servers, topics.transcripts, b"news")
        assert values(later, 1) == [b"news"]


@pytest.mark.parametrize("start", ["beginning", "end"])
def test_follower_waits_on_an_empty_topic(kafka: KafkaServer, topics: Topics, start: Start) -> None:
    with closing(Follower(settings(kafka), [topics.uploads, topics.transcripts], start)) as follower:
        assert follower.poll(0.1) is None
        produce(kafka.bootstrap_servers, topics.transcripts, b"first")
        assert values(follower, 1) == [b"first"]


def test_follower_needs_its_topics(kafka: KafkaServer, topics: Topics) -> None:
    with pytest.raises(BrokerUnavailable, match="no topic nowhere on"):
        Follower(settings(kafka), [topics.transcripts, "nowhere"], "end")


def test_follower_needs_a_broker() -> None:
    begin = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="no broker answered"):
        Follower(KafkaSettings(bootstrap_servers="127.0.0.1:1", startup_timeout_s=0.5), ["any"], "end")
    assert time.monotonic() - begin < 20
