from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.demo.board import WORK, Board, NewsObserver, Row, Totals
from consumer.errors import NotMedia, RecordingError, StorageUnavailable
from consumer.events.recording import Recording
from consumer.events.transcript import Transcript
from consumer.pipeline.observer import Ended

Transcribed = Callable[..., Transcript]


def end(tag: int, result: Transcript | RecordingError, key: str = "a.wav") -> Ended:
    return Ended(tag=tag, recording=Recording(bucket="b", key=key), result=result, attempts=1, stage_ms={})


def test_a_recording_goes_through_its_stages(transcribed: Transcribed) -> None:
    board = Board()
    board.uploaded("a.wav")
    row = board.rows["a.wav"]
    states = [row.state]
    board.admitted(7, "a.wav", 10.0)
    for stage in ("fetch", "decode", "engine"):
        board.entered(7, stage)
        states.append(row.state)
    board.ended(end(7, transcribed("你好。", duration_ms=4000)), 12.0)
    board.entered(7, "publish")
    states.append(row.state)

    assert states == list(WORK)
    assert not row.over
    assert board.open == 1
    assert row.took_s(11.5) == pytest.approx(1.5)

    assert board.acknowledged(7, 12.5) is row
    assert (row.state, row.over, board.open) == ("done", True, 0)
    assert row.took_s(99.0) == pytest.approx(2.5)
    assert board.totals == Totals(transcripts=1, audio_s=4.0, busy_s=2.5)
    assert board.totals.speed == pytest.approx(1.6)


def test_silence_and_dead_letters_end_a_recording_too(transcribed: Transcribed) -> None:
    board = Board()
    for tag, key in enumerate(("quiet.wav", "broken.wav")):
        board.uploaded(key)
        board.admitted(tag, key, 0.0)
    board.ended(end(0, transcribed(""), "quiet.wav"), 1.0)
    board.ended(end(1, NotMedia("b/broken.wav: text"), "broken.wav"), 1.0)
    board.acknowledged(0, 2.0)
    board.acknowledged(1, 2.0)
    assert [row.state for row in board.rows.values()] == ["no speech", "dead letter"]
    assert (board.totals.transcripts, board.totals.no_speech, board.totals.dead_letters) == (0, 1, 1)
    assert board.rows["broken.wav"].audio_s is None


def test_an_end_that_was_never_admitted_has_a_row() -> None:
    board = Board()
    board.ended(Ended(tag=1, recording=None, result=NotMedia("no"), attempts=1, stage_ms={}), 1.0)
    row = board.acknowledged(1, 1.5)
    assert row is not None
    assert row.key == "(an event)"
    assert board.totals.dead_letters == 1


def test_retries_are_noted_until_the_next_try() -> None:
    board = Board()
    board.admitted(1, "a.wav", 0.0)
    board.retrying(1, "storage_unavailable", 2)
    assert board.rows["a.wav"].note == "try 2 failed: storage_unavailable"
    board.entered(1, "fetch")
    assert board.rows["a.wav"].note == ""


def test_a_file_that_is_not_taken_is_over_at_once() -> None:
    board = Board()
    row = board.refused("big.mp4", "too large", 3.0)
    assert (row.state, row.over, row.note) == ("not taken", True, "too large")
    assert board.totals == Totals()


def test_a_name_that_comes_again_is_the_newest_row() -> None:
    board = Board()
    for key in ("a.wav", "b.wav", "a.wav"):
        board.uploaded(key)
    assert list(board.rows) == ["b.wav", "a.wav"]


def test_news_of_unknown_tags_change_nothing() -> None:
    board = Board()
    board.entered(1, "fetch")
    board.retrying(1, "x", 1)
    assert board.acknowledged(1, 1.0) is None
    assert board.rows == {}


def test_time_counts_while_anything_is_in_work(transcribed: Transcribed) -> None:
    board = Board()
    for tag, (key, began) in enumerate((("a", 0.0), ("b", 1.0))):
        board.admitted(tag, key, began)
    board.ended(end(0, transcribed("一", duration_ms=1000), "a"), 2.0)
    board.acknowledged(0, 2.0)
    board.ended(end(1, transcribed("二", duration_ms=1000), "b"), 3.0)
    board.acknowledged(1, 3.0)
    board.admitted(2, "c", 10.0)
    board.ended(end(2, transcribed("三", duration_ms=1000), "c"), 11.0)
    board.acknowledged(2, 11.0)
    assert board.totals.busy_s == pytest.approx(4.0)
    assert board.totals.audio_s == pytest.approx(3.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["up", "in", "end", "ack", "forget"])), max_size=60))
def test_every_acknowledged_end_is_counted_once(steps: list[tuple[int, str]]) -> None:
    board, acknowledged = Board(), 0
    for now, (tag, step) in enumerate(steps):
        key = f"{tag}.wav"
        if step == "up":
            board.uploaded(key)
        elif step == "in":
            board.admitted(tag, key, now)
        elif step == "end":
            board.ended(end(tag, NotMedia("no"), key), now)
        elif step == "forget":
            board.forget(key)
        elif board.acknowledged(tag, now) is not None:
            acknowledged += 1
    assert board.totals.dead_letters == acknowledged
    assert board.totals.busy_s >= 0


def test_the_observer_tells_what_happened_when(transcribed: Transcribed) -> None:
    times = iter(range(10, 20))
    board = Board()
    over: list[Row | None] = []
    observer = NewsObserver(lambda news: over.append(news(board)), lambda: float(next(times)))
    recording = Recording(bucket="b", key="a.wav")

    ready = []
    for change in ("revoked", "assigned"):
        observer.rebalanced(change, [("t", 0)])
        ready.append(board.ready)
    assert ready == [False, True]

    observer.admitted(1, recording)
    observer.entered(1, "fetch")
    observer.retrying(1, StorageUnavailable("503"), 1, 200)
    row = board.rows["a.wav"]
    assert (row.state, row.note) == ("fetch", "try 1 failed: storage_unavailable")
    observer.ended(end(1, transcribed("你好")))
    observer.acknowledged(1, "transcript")
    assert [each for each in over if each is not None] == [row]
    assert (row.admitted_s, row.ended_s) == (10.0, 12.0)
