"""A record that processes died with gets the process for itself, whatever else it holds or waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Hashable
from typing import Any, cast

import pytest

from consumer.events.recording import Recording
from consumer.kafka.metadata import Progress
from consumer.kafka.offsets import OffsetTracker
from consumer.kafka.records import Record, Ticket
from consumer.kafka.retries import retry_topics
from consumer.pipeline.admission import Admission
from consumer.pipeline.breaker import Breaker, BreakerLimits
from consumer.pipeline.flow import Flow
from consumer.pipeline.observer import Observer
from consumer.pipeline.outgoing import Outgoing
from consumer.settings import Settings

SETTINGS = Settings()
P0 = (SETTINGS.topics.uploads, 0)
SUSPECTED = SETTINGS.retry.poison_deaths - 1


class Taking:
    """In place of the flow: takes what comes."""

    def __init__(self) -> None:
        self.admitted: list[Ticket] = []

    def admit(self, tag: Hashable, recording: Recording, **_: Any) -> None:
        self.admitted.append(cast("Ticket", tag))


class Bench:
    """A partition at offset 0, whose record that many owners died with."""

    def __init__(self, deaths: int) -> None:
        self.tracker, self.flow = OffsetTracker(), Taking()
        self.admission = Admission(
            settings=SETTINGS,
            tracker=self.tracker,
            flow=cast("Flow", self.flow),
            outgoing=Outgoing(SETTINGS.topics, retry_topics(SETTINGS), "group", "client", time.time),
            breaker=Breaker(BreakerLimits(share=1.0, count=1, window_s=60.0, probe_s=60.0)),
            observer=Observer(),
            refuse=lambda ended: self.end(cast("Ticket", ended.tag)),
        )
        self.tracker.assign(P0, Progress(0, 1, {0: deaths}))

    def accept(self, offset: int, *keys: str) -> None:
        records = [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "bucket"}, "object": {"key": key, "size": 1}},
            }
            for key in keys
        ]
        value = json.dumps({"Records": records}).encode()
        self.admission.accept(Record(*P0, offset, None, value, [], 1))

    def turn(self) -> list[tuple[int, int]]:
        """What has been admitted since the last turn, once every commit is confirmed: offsets and indexes."""
        for _ in range(3):
            self.admission.admit_suspects()
            self.tracker.committed(self.tracker.commits())
        admitted, self.flow.admitted = self.flow.admitted, []
        return [(each.offset, each.index) for each in admitted]

    def end(self, ticket: Ticket) -> None:
        task = self.admission.tasks[ticket]
        self.admission.leave(task)
        del self.admission.tasks[ticket]
        self.tracker.complete(ticket)

    def end_of(self, offset: int, index: int) -> None:
        (ticket,) = [each for each in self.admission.tasks if (each.offset, each.index) == (offset, index)]
        self.end(ticket)


def test_a_suspected_record_waits_for_what_is_in_work_and_then_is_alone() -> None:
    bench = Bench(SUSPECTED)
    bench.accept(0, "suspect")
    bench.accept(1, "other")
    assert bench.turn() == [(1, 0)]
    assert bench.admission.closed
    bench.end_of(1, 0)
    assert bench.turn() == [(0, 0)]
    assert bench.admission.closed
    bench.end_of(0, 0)
    assert not bench.admission.closed


@pytest.mark.parametrize("recordings", [2, 3])
def test_the_recordings_of_a_suspected_record_come_one_after_the_other(recordings: int) -> None:
    bench = Bench(SUSPECTED)
    bench.accept(0, *(f"key-{number}" for number in range(recordings)))
    for index in range(recordings):
        assert bench.turn() == [(0, index)]
        bench.end_of(0, index)
    assert not bench.admission.closed
    assert bench.admission.tasks == {}


def test_a_recording_that_waits_for_the_suspected_one_does_not_keep_it_waiting() -> None:
    """The second record holds another object, which may be worked on, and the same one, which must wait."""
    bench = Bench(SUSPECTED)
    bench.accept(0, "x")
    bench.accept(1, "y", "x")
    assert bench.turn() == [(1, 0)]
    bench.end_of(1, 0)
    assert bench.turn() == [(0, 0)]
    bench.end_of(0, 0)
    assert bench.turn() == [(1, 1)]
    bench.end_of(1, 1)
    assert not bench.admission.closed
    assert bench.admission.tasks == {}


def test_a_record_that_too_many_died_with_is_refused() -> None:
    bench = Bench(SUSPECTED + 1)
    bench.accept(0, "poison")
    assert bench.turn() == []
    assert bench.admission.tasks == {}
