"""Parse damaged events by the thousand: ``python -m tests.fuzz.run_events SEED COUNT``.

A process of its own, since hypothesis takes numbers and words from all modules that happen to be loaded: only so does a
seed make the same events again.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from consumer.errors import DeadLetterError, EventInvalid, EventNotJson, EventUnknown
from consumer.events.fields import MAX_BUCKET, MAX_KEY
from consumer.events.parse import UploadEvent, parse
from tests.fuzz.events import VARIANTS, Record, records
from tests.fuzz.own import holdings

MOST_SECONDS = 1.0
"""Processor time for one event of a few thousand bytes; a hundred times what the slowest takes."""

TABLE = (EventNotJson, EventUnknown, EventInvalid)


def end(record: Record) -> str:
    """Parse, check what came out, and say how it ended."""
    started = time.thread_time()
    try:
        event = parse(record.value, record.headers)
    except TABLE as error:
        check_message(error)
        return error.code
    finally:
        assert time.thread_time() - started < MOST_SECONDS
    check(event)
    return "recordings" if event.recordings else "skipped"


def check_message(error: DeadLetterError) -> None:
    assert 0 < len(str(error)) < 1_000
    str(error).encode()  # it goes into headers and logs


def check(event: UploadEvent) -> None:
    """What the rest of the program may rely on."""
    assert event.recordings or event.skipped
    for recording in event.recordings:
        assert 1 <= len(recording.bucket) <= MAX_BUCKET
        assert "/" not in recording.bucket
        assert 1 <= len(recording.key) <= MAX_KEY
        assert recording.size is None or recording.size >= 0
        recording.model_dump_json().encode()
    for skipped in event.skipped:
        f"{skipped.event} {skipped.object_id}".encode()


def run(number: int, count: int) -> tuple[Counter[str], int]:
    """How so many events of a seed end, and KiB by which the process grew; raises what is wrong with any."""
    ends: Counter[str] = Counter()
    seen: list[Record] = []

    @seed(number)
    @settings(
        max_examples=-(-count // VARIANTS),
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(records())
    def each(variants: tuple[Record, ...]) -> None:
        seen.append(variants[len(seen) % VARIANTS])
        ends.update(map(end, variants))

    each()
    # Once more without what hypothesis remembers of each.
    before = holdings()
    for record in seen:
        end(record)
    after = holdings()
    return ends, after.kibibytes - before.kibibytes


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
