"""Thousands of damaged upload events: each is a recording, a skip, or an error of the failure table."""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from consumer.errors import DeadLetterError, EventInvalid, EventNotJson, EventUnknown
from consumer.events.fields import MAX_BUCKET, MAX_KEY
from consumer.events.parse import UploadEvent, parse
from tests.fuzz.events import EXAMPLES, VARIANTS, Record, records, written
from tests.fuzz.own import holdings

SEED = int(os.environ.get("TINGXIE_FUZZ_SEED", "5"))
EVENTS = int(os.environ.get("TINGXIE_FUZZ_EVENTS", "10000"))
MOST_GROWTH = 8 * 1024
"""KiB; a leak of one KiB an event would be more."""
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


@pytest.mark.fuzz
@pytest.mark.timeout(900)
def test_damaged_events_end_as_the_failure_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    ends: Counter[str] = Counter()
    seen: list[Record] = []

    @seed(SEED)
    @settings(
        max_examples=-(-EVENTS // VARIANTS),
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(records())
    def run(variants: tuple[Record, ...]) -> None:
        seen.append(variants[len(seen) % VARIANTS])
        ends.update(map(end, variants))

    run()
    # Once more without what hypothesis remembers of each.
    before = holdings()
    for record in seen:
        end(record)
    after = holdings()
    with capsys.disabled():
        sys.stdout.write(f"\n{ends.total()} damaged events, TINGXIE_FUZZ_SEED={SEED}: {dict(ends.most_common())}; ")
        sys.stdout.write(f"memory {before.kibibytes} -> {after.kibibytes} KiB\n")

    assert ends.total() >= EVENTS
    assert after.kibibytes - before.kibibytes < MOST_GROWTH
    assert after[1:] == before[1:]
    # Damage of all degrees: else the events show little.
    assert all(ends[kind] > EVENTS // 50 for kind in ("recordings", "skipped", *(error.code for error in TABLE)))


@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize(
    "nest",
    [
        lambda deep: deep,
        lambda deep: b'{"bucket":"a","key":"b","metadata":' + deep + b"}",
        lambda deep: b'{"Records":' + deep + b"}",
        lambda deep: b'{"specversion":"1.0","data":' + json.dumps(deep.decode()).encode() + b"}",
        lambda deep: b'{"Type":"Notification","Message":' + json.dumps(deep.decode()).encode() + b"}",
    ],
    ids=["alone", "native", "s3", "cloudevents", "sns"],
)
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"Records":', b"1}")], ids=["lists", "objects"])
def test_an_event_nested_without_end(depth: int, nest: object, brackets: tuple[bytes, bytes]) -> None:
    left, right = brackets
    assert callable(nest)
    assert end(Record(nest(left * depth + b"1" + right * depth), [])) in {error.code for error in TABLE}


@pytest.mark.parametrize("headers", [[("ce_specversion", b"1.0")], []], ids=["binary", "plain"])
@pytest.mark.parametrize(
    "value",
    [
        b'{"bucket":"a","key":"' + b"k" * 4_000_000 + b'"}',
        b'{"bucket":"a","key":"b","id":"' + b"k" * 4_000_000 + b'"}',
        b'{"Records":[' + b"{}," * 1_000_000 + b"{}]}",
        b"{" + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}",
        b'{"bucket":"a","key":"b","options":{"hotwords":[' + b'"' + b'","'.join([b"x"] * 700_000) + b'"]}}',
        b'{"bucket":"a","key":"b","options":{"formats":[' + b"0," * 700_000 + b"0]}}",
        b'{"bucket":"a","key":"b","options":{' + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}}",
        b'{"bucket":"a","key":"b","metadata":{' + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}}",
        b"1" * 4_000_000,
        b" " * 4_000_000,
    ],
    ids=["key", "id", "records", "fields", "hotwords", "formats", "options", "metadata", "digits", "spaces"],
)
def test_an_event_of_megabytes_takes_bounded_time_and_memory(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    started = time.thread_time()
    tracemalloc.start()
    try:
        with pytest.raises(TABLE) as refused:
            parse(value, headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    check_message(refused.value)
    assert peak < 48 * len(value)
    assert time.thread_time() - started < 20


def test_examples_end_well_when_they_are_written_by_this_writer() -> None:
    for headers, event in EXAMPLES:
        parse(written(event).encode(), headers)
