from __future__ import annotations

from typing import Any

import pytest

from consumer.commands.letters import Letter, Redriven, Selection
from consumer.commands.redrive import Judge, Request, Tally
from consumer.errors import NotMedia, RecordingError, StorageUnavailable
from consumer.events.copies import Origin, redriven
from consumer.kafka.records import Headers, Record
from tests.unit.events.letters import letter_headers

UNAVAILABLE = StorageUnavailable("audio-in/a.wav: 503")


def letter(
    offset: int = 0,
    *,
    error: RecordingError = UNAVAILABLE,
    recording: str | None = "audio-in/calls/a.wav",
    key: bytes | None = b"k",
    timestamp_ms: int = 1000,
    headers: Headers | None = None,
) -> Letter:
    told = letter_headers(
        headers or (),
        topic="uploads",
        offset=offset,
        error=error,
        recording_id=recording,
        timestamp_ms=timestamp_ms,
    )
    return Letter.of(Record("dead", 0, offset, key, b"{}", told, timestamp_ms))


def judge(before: Redriven | None = None, unnoted: set[Origin] | None = None, **request: Any) -> Judge:
    return Judge(Request(**request), before or Redriven({}), unnoted or set(), {"uploads", "dead", "elsewhere"})


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(classes=("storage_*",)), True),
        (Selection(classes=("not_media", "storage_unavailable")), True),
        (Selection(classes=("storage",)), False),
        (Selection(stages=("fetch", "engine")), True),
        (Selection(stages=("decode",)), False),
        (Selection(topics=("uploads",)), True),
        (Selection(topics=("elsewhere",)), False),
        (Selection(key="audio-in/calls/*"), True),
        (Selection(key="AUDIO-in/*"), False),
        (Selection(since_ms=1000, until_ms=1001), True),
        (Selection(since_ms=1001), False),
        (Selection(until_ms=1000), False),
    ],
)
def test_a_selection_takes_what_fits_all_of_it(selection: Selection, taken: bool) -> None:
    assert selection.takes(letter()) is taken


def test_without_a_recording_the_key_of_the_record_counts() -> None:
    assert Selection(key="k").takes(letter(recording=None))
    assert not Selection(key="k").takes(letter())
    assert Selection(key="").takes(letter(recording=None, key=None))


def test_a_letter_goes_where_it_came_from_unless_told_otherwise() -> None:
    assert judge().verdict(letter()).detail == "uploads"
    assert judge(to_topic="elsewhere").verdict(letter()).detail == "elsewhere"


@pytest.mark.parametrize(
    ("request_", "read", "reason"),
    [
        ({}, Letter.of(Record("dead", 0, 0, None, None, [], 0)), "name no topic; give --to-topic"),
        ({"to_topic": "nowhere"}, letter(), "there is no topic nowhere"),
        ({"to_topic": "dead"}, letter(), "is the dead-letter topic"),
        ({"most": 1}, letter(headers=redriven([], Origin("dead", 0, 9))), "redriven 1 times before; raise --most"),
    ],
)
def test_a_letter_stays_for_a_reason(request_: dict[str, Any], read: Letter, reason: str) -> None:
    verdict = judge(**request_).verdict(read)
    assert verdict.kind == "stay"
    assert reason in verdict.detail


def test_a_letter_of_the_journal_is_not_sent_again_but_one_of_a_topic_made_anew_is() -> None:
    before = Redriven({Redriven.key(letter(5).origin): {"timestamp_ms": 1000}})
    assert judge(before).verdict(letter(5)).kind == "before"
    assert judge(before).verdict(letter(5, timestamp_ms=2000)).kind == "send"
    assert judge(before).verdict(letter(6)).kind == "send"


def test_what_a_killed_redrive_sent_is_noted_whatever_is_selected() -> None:
    narrow = judge(unnoted={letter(5).origin}, selection=Selection(classes=("not_media",)))
    assert narrow.verdict(letter(5)).kind == "note"
    assert narrow.verdict(letter(6)).kind == "other"


def test_the_tally_tells_all_and_names_a_few_that_stay(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    letters = [letter(0), letter(1, error=NotMedia("x")), *(letter(n, recording=f"\x1b{n}") for n in range(2, 32))]
    stays = judge(most=0)
    for each in letters:
        tally.add(each, judge().verdict(each) if each.record.offset < 2 else stays.verdict(each))
    tally.tell("would be redriven")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "2 would be redriven, 0 were before, 30 stay",
        "  1 not_media to uploads",
        "  1 storage_unavailable to uploads",
    ]
    assert len(err.splitlines()) == 21
    assert err.splitlines()[-1] == "tingxie: 10 more stay"
    assert "\x1b" not in err
