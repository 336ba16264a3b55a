from __future__ import annotations

from dataclasses import replace

from consumer.errors import TranscriptTooLarge
from consumer.events.recording import Recording
from consumer.events.stored import StoredTranscript, reference
from consumer.kafka.records import Record
from consumer.kafka.retries import RetryTopics
from consumer.pipeline.observer import Ended
from consumer.pipeline.outgoing import Outgoing, refused
from consumer.settings import TopicSettings
from tests.unit.transcript.speech import span, transcript_of

WHOLE = transcript_of([span("你 好。")])
ENDED = Ended("a", Recording(bucket="audio-in", key="a.wav"), WHOLE, 1, {})
REFUSED = TranscriptTooLarge("audio-in/a.wav: topic transcripts refused it; raise its max.message.bytes")


def test_a_transcript_that_was_refused_names_the_setting_that_would_store_it() -> None:
    message = str(refused(ENDED, REFUSED).result)
    assert message.startswith(str(REFUSED))
    assert "storage.transcript_bucket" in message


def test_one_that_is_stored_says_where() -> None:
    stored = reference(WHOLE, StoredTranscript("s3://kept/ab.json", 9, "a" * 64), text=False)
    ended = refused(replace(ENDED, result=stored), REFUSED)
    assert isinstance(ended.result, TranscriptTooLarge)
    assert "s3://kept/ab.json" in str(ended.result)
    assert "storage.transcript_bucket" not in str(ended.result)


def test_a_transcript_names_the_replay_that_asked_for_it() -> None:
    outgoing = Outgoing(TopicSettings(), RetryTopics(), "group", "tingxie", lambda: 0.0)
    for headers, told in (([("tingxie-replay", b"r1")], b"r1"), ([("tingxie-replay", b"no id")], None), ([], None)):
        record = Record("audio-uploaded", 0, 0, None, b"{}", list(headers), 1)
        _, produced = outgoing.record(record, ENDED, several=False)
        assert dict(produced.headers).get("tingxie-replay") == told
