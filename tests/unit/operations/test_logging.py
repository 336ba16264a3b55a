from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from consumer.errors import ObjectMissing
from consumer.events.recording import Recording
from consumer.kafka.records import Ticket
from consumer.operations.logging import configure_logging
from consumer.pipeline.observer import Ended
from consumer.pipeline.telemetry import LogObserver
from tests.logs import logging_restored


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    with logging_restored():
        yield


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == "", "stdout is for results"
    return [json.loads(line) for line in captured.err.splitlines()]


def test_lines_are_json_when_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    structlog.get_logger("tingxie").info("héllo 听写", offset=3)
    logging.getLogger("some.library").warning("from a library")
    logging.getLogger("tingxie").debug("not now")
    first, second = lines(capsys)
    assert (first["event"], first["level"], first["offset"]) == ("héllo 听写", "info", 3)
    assert (second["event"], second["level"], second["logger"]) == ("from a library", "warning", "some.library")
    assert str(first["timestamp"]).endswith("Z")


def test_exceptions_are_part_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        int("why")
    except ValueError:
        structlog.get_logger("tingxie").exception("it failed")
    (line,) = lines(capsys)
    assert "ValueError: invalid literal" in str(line["exception"])


def test_console_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    structlog.get_logger("tingxie").info("transcribed", offset=3)
    text = capsys.readouterr().err
    assert "transcribed" in text
    assert not text.startswith("{")


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_shows_a_secret_a_stranger_sent(
    form: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("debug", form)
    key = "https://me:hunter2@x/a.wav?X-Amz-Signature=hunter2&X-Amz-Date=20260101"
    structlog.get_logger("tingxie").info("dead letter", key=key, listed=[key])
    logging.getLogger("some.library").warning("it said %s", key)
    try:
        dict[str, str]()[key]
    except KeyError:
        structlog.get_logger("tingxie").exception("it failed")
    text = capsys.readouterr().err
    assert "hunter2" not in text
    assert text.count("X-Amz-Signature=**********") >= 4
    assert "X-Amz-Date=20260101" in text


def test_a_traceback_on_the_console_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "console")
    try:
        password = "hunter2"
        int(password[0])
    except ValueError:
        structlog.get_logger("tingxie").exception("it failed")
    text = capsys.readouterr().err
    assert "ValueError" in text
    assert "hunter2" not in text.replace('password = "hunter2"', "")


def test_a_dead_letter_line_names_all_that_finds_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    ended = Ended(
        tag=Ticket("audio-uploaded", 2, 17, 1, 0),
        recording=Recording(bucket="audio-in", key="日本 lecture/a b+c.wav"),
        result=ObjectMissing("audio-in/日本 lecture/a b+c.wav does not exist"),
        attempts=1,
        stage_ms={"fetch": 12},
    )
    LogObserver().sent(ended, "dead letter", "audio-uploaded.dead-letter")
    (line,) = lines(capsys)
    wanted = {
        "event": "dead letter",
        "topic": "audio-uploaded",
        "partition": 2,
        "offset": 17,
        "bucket": "audio-in",
        "key": "日本 lecture/a b+c.wav",
        "error_class": "object_missing",
        "stage": "fetch",
        "latency_ms": 12,
        "attempts": 1,
        "to": "audio-uploaded.dead-letter",
    }
    assert {name: line[name] for name in wanted} == wanted
