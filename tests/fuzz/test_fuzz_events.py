"""Thousands of damaged upload events: each is a recording, a skip, or an error of the failure table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.events.parse import parse
from tests.fuzz.events import EXAMPLES, Record, written
from tests.fuzz.run_events import TABLE, check_message, end

SEED = int(os.environ.get("TINGXIE_FUZZ_SEED", "5"))
EVENTS = int(os.environ.get("TINGXIE_FUZZ_EVENTS", "10000"))
MOST_GROWTH = 8 * 1024
"""KiB; a leak of four KiB an event would be more."""


@pytest.mark.fuzz
@pytest.mark.timeout(900)
def test_damaged_events_end_as_the_failure_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run_events", str(SEED), str(EVENTS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ends, growth = json.loads(done.stdout)
    total = sum(ends.values())
    with capsys.disabled():
        sys.stdout.write(f"\n{total} damaged events, TINGXIE_FUZZ_SEED={SEED}: {ends}; memory +{growth} KiB\n")

    assert total >= EVENTS
    assert growth < MOST_GROWTH
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
def test_an_event_nested_without_end(depth: int, nest: Callable[[bytes], bytes], brackets: tuple[bytes, bytes]) -> None:
    left, right = brackets
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
