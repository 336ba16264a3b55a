"""Turns an end into the record that tells it: a transcript, another round, or a dead letter. Pure but for its clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from consumer.errors import RecordingError, TranscriptTooLarge
from consumer.events.deadletter import dead_letter_headers
from consumer.events.headers import replay_id, traceparent
from consumer.events.retry import Story, read_story, retry_headers
from consumer.events.transcript import Transcript, cloud_event_headers
from consumer.kafka.records import Record
from consumer.kafka.retries import RetryTopic, RetryTopics
from consumer.kafka.sink import OutgoingRecord
from consumer.pipeline.observer import Ended, Fate
from consumer.settings import TopicSettings


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Builds outgoing records.

    Attributes:
        topics: where they go.
        retries: where recordings go that may be tried again.
        group: consumer group, for dead-letter headers.
        ce_source: of CloudEvents headers.
        clock: epoch seconds.
    """

    topics: TopicSettings
    retries: RetryTopics
    group: str
    ce_source: str
    clock: Callable[[], float]

    def record(self, record: Record, ended: Ended, *, several: bool) -> tuple[Fate, OutgoingRecord]:
        """What to produce for a recording that ended, and what that means for it.

        Args:
            record: the upload event it came from.
            ended: how it ended.
            several: whether the event held more recordings than this one.
        """
        error = ended.result
        if not isinstance(error, RecordingError):
            return "transcript", self._transcript(record, error)
        story = self.story(record).failed(error, ended.attempts, self._now_ms())
        named = ended.recording.object_id if several and ended.recording is not None else None
        if error.retryable and (following := self.retries.after(record.topic)) is not None:
            return "retry", self._another_round(record, following, story, named)
        return "dead letter", self._dead_letter(record, error, story, named)

    def story(self, record: Record) -> Story:
        """What happened to a record before; headers of a topic that others write to are not believed."""
        first = Story(record.topic, record.partition, record.offset, record.timestamp_ms or self._now_ms())
        return read_story(record.headers, first) if record.topic in self.retries else first

    def _now_ms(self) -> int:
        return round(self.clock() * 1000)

    def _transcript(self, record: Record, transcript: Transcript) -> OutgoingRecord:
        return OutgoingRecord(
            topic=self.topics.transcripts,
            key=transcript.object_id.encode(),
            value=transcript.to_bytes(),
            headers=cloud_event_headers(
                transcript,
                source=self.ce_source,
                time=datetime.fromtimestamp(self.clock(), tz=timezone.utc),
                traceparent=traceparent(record.headers),
                replay=replay_id(record.headers),
            ),
        )

    def _another_round(
        self, record: Record, following: RetryTopic, story: Story, recording_id: str | None
    ) -> OutgoingRecord:
        due = self._now_ms() + following.delay_ms
        headers = retry_headers(record.headers, story, not_before_ms=due, recording_id=recording_id)
        return OutgoingRecord(topic=following.name, key=record.key, value=record.value, headers=headers)

    def _dead_letter(
        self, record: Record, error: RecordingError, story: Story, recording_id: str | None
    ) -> OutgoingRecord:
        return OutgoingRecord(
            topic=self.topics.dead_letters,
            key=record.key,
            value=record.value,
            headers=dead_letter_headers(
                record.headers,
                topic=story.topic,
                partition=story.partition,
                offset=story.offset,
                group=self.group,
                delivery_count=story.attempts,
                error=error,
                recording_id=recording_id,
                timestamp_ms=self._now_ms(),
                history=story.history if record.topic in self.retries else None,
            ),
        )


def refused(ended: Ended, error: TranscriptTooLarge) -> Ended:
    """The end of a recording whose transcript the topic refused, with what to do about it.

    Args:
        ended: how the work on it ended.
        error: what the topic said.
    """
    uri = ended.result.transcript_uri if isinstance(ended.result, Transcript) else None
    advice = (
        f"its transcript is stored, but even the event without it is too large: {uri}"
        if uri is not None
        else "or set storage.transcript_bucket to store such transcripts, or ask for timestamps=sentence"
    )
    return replace(ended, result=TranscriptTooLarge(f"{error}; {advice}"))
