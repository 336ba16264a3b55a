"""Turns an end into the record that tells it: a transcript or a dead letter. Pure but for the clock it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from consumer.errors import RecordingError, TranscriptTooLarge
from consumer.events.deadletter import dead_letter_headers
from consumer.events.headers import traceparent
from consumer.events.transcript import Transcript, cloud_event_headers
from consumer.kafka.records import Record
from consumer.kafka.sink import OutgoingRecord
from consumer.pipeline.observer import Ended
from consumer.settings import TopicSettings


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Builds outgoing records.

    Attributes:
        topics: where they go.
        group: consumer group, for dead-letter headers.
        ce_source: of CloudEvents headers.
        clock: epoch seconds.
    """

    topics: TopicSettings
    group: str
    ce_source: str
    clock: Callable[[], float]

    def record(self, record: Record, ended: Ended, *, several: bool) -> OutgoingRecord:
        """What to produce for a recording that ended.

        Args:
            record: the upload event it came from.
            ended: how it ended.
            several: whether the event held more recordings than this one.
        """
        if isinstance(ended.result, RecordingError):
            return self._dead_letter(record, ended, ended.result, several=several)
        transcript = ended.result
        return OutgoingRecord(
            topic=self.topics.transcripts,
            key=transcript.object_id.encode(),
            value=transcript.to_bytes(),
            headers=cloud_event_headers(
                transcript,
                source=self.ce_source,
                time=datetime.fromtimestamp(self.clock(), tz=timezone.utc),
                traceparent=traceparent(record.headers),
            ),
        )

    def _dead_letter(self, record: Record, ended: Ended, error: RecordingError, *, several: bool) -> OutgoingRecord:
        return OutgoingRecord(
            topic=self.topics.dead_letters,
            key=record.key,
            value=record.value,
            headers=dead_letter_headers(
                record.headers,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                group=self.group,
                delivery_count=ended.attempts,
                error=error,
                recording_id=ended.recording.object_id if several and ended.recording is not None else None,
                timestamp_ms=round(self.clock() * 1000),
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
