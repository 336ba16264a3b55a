"""The flow with fake stages that a test finishes by hand: which recording is where, and what ends it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.audio.decoder import DecodeJob
from consumer.engine.api import EngineJob
from consumer.errors import NotMedia, ObjectMissing, RecordingError, SpoolFull, StageDied, StorageUnavailable
from consumer.events.recording import Options
from consumer.events.transcript import Transcript
from consumer.pipeline.observer import Ended, Load
from consumer.pipeline.work import Gates
from consumer.transcript.types import DecodedAudio, StoredObject
from tests.unit.pipeline.bench import Bench, FakeStage, decoded, heard, stored


def test_a_recording_passes_all_stages_in_order() -> None:
    bench = Bench()
    bench.admit("a")
    assert bench.step() == []
    bench.fetch.finish("a", stored("a"), 11)
    bench.step()
    assert bench.decode.jobs == {"a": DecodeJob(path=Path("a.object"), split=False)}
    assert bench.flow.load == Load(1, 100, 0)
    bench.decode.finish("a", decoded("a"), 12)
    bench.step()
    assert bench.engine.jobs == {"a": EngineJob(tracks=decoded("a").tracks)}
    assert bench.flow.load == Load(1, 100, 1000)
    bench.engine.finish("a", heard("你好"), 13)
    (end,) = bench.step(2.0)
    assert isinstance(end.result, Transcript)
    assert end.result.text == "你好"
    assert (end.result.timing.fetch_ms, end.result.timing.decode_ms, end.result.timing.engine_ms) == (11, 12, 13)
    assert (end.result.timing.queued_ms, end.result.timing.total_ms) == (7, 2007)
    assert bench.seen.stages == [("a", "fetch"), ("a", "decode"), ("a", "engine")]
    assert bench.seen.ends == [end]
    assert bench.flow.load == Load(0, 0, 0)
    assert set(bench.spool.removed) == {Path("a.object"), Path("a.pcm")}


def test_options_reach_the_stages() -> None:
    bench = Bench()
    bench.admit("a", Options(channels="split", language="en", hotwords=("听写",)))
    bench.step()
    bench.fetch.finish("a", stored("a"))
    bench.step()
    assert bench.decode.jobs["a"].split
    bench.decode.finish("a", decoded("a"))
    bench.step()
    assert bench.engine.jobs["a"] == EngineJob(decoded("a").tracks, language="en", hotwords=("听写",))


@pytest.mark.parametrize("error", [ObjectMissing("gone"), NotMedia("text")])
def test_what_cannot_be_mended_ends_at_once(error: RecordingError) -> None:
    bench = Bench()
    bench.admit("a")
    bench.step()
    bench.fetch.finish("a", error)
    (end,) = bench.step()
    assert type(end.result) is type(error)
    assert str(end.result) == f"audio/a.wav: {error}", "a person looks for the object's name"
    assert end.attempts == 1
    assert bench.flow.load.records == 0


def test_passing_trouble_is_tried_again_later_and_others_go_on() -> None:
    bench = Bench(attempts=3)
    bench.admit("a")
    bench.step()
    for _ in range(2):
        bench.fetch.finish("a", StorageUnavailable("503"))
        assert bench.step() == []
        bench.admit(object())
        bench.step(1.1)  # beyond any pause the policy allows
        assert "a" in bench.fetch.jobs
    bench.fetch.finish("a", stored("a"))
    bench.step()
    bench.decode.finish("a", decoded("a"))
    bench.step()
    bench.engine.finish("a", heard())
    (end,) = bench.step()
    assert isinstance(end.result, Transcript)
    assert end.attempts == 3


def test_the_last_failed_try_is_the_end() -> None:
    bench = Bench(attempts=2)
    bench.admit("a")
    bench.step()
    bench.fetch.finish("a", StorageUnavailable("503"))
    bench.step()
    bench.step(1.1)
    last = StorageUnavailable("audio/a.wav: 503 again")
    bench.fetch.finish("a", last)
    (end,) = bench.step()
    assert end.result is last, "it names the object already"
    assert end.attempts == 2


def test_dropped_work_leaves_no_files_whenever_its_outcome_comes() -> None:
    bench = Bench()
    bench.admit("early")
    bench.admit("late")
    bench.step()
    bench.fetch.finish("early", stored("early"))
    bench.step()
    bench.flow.drop(["early", "late", "never admitted"])
    assert bench.flow.load == Load(0, 0, 0)
    assert bench.fetch.cancelled == ["early", "late"]
    bench.fetch.finish("late", stored("late"))
    bench.decode.finish("early", decoded("early"))
    assert bench.step() == []
    assert set(bench.spool.removed) == {Path("early.object"), Path("early.pcm"), Path("late.object")}


def test_a_dropped_retry_does_not_come_back() -> None:
    bench = Bench()
    bench.admit("a")
    bench.step()
    bench.fetch.finish("a", StorageUnavailable("503"))
    bench.step()
    bench.flow.drop(["a"])
    bench.step(5.0)
    assert bench.fetch.jobs == {}


def test_gates_keep_the_spool_bounded_but_never_lock_it() -> None:
    bench = Bench(gates=Gates(bytes=150, audio_ms=1500))
    for tag in "abc":
        bench.admit(tag)
    bench.step()
    assert set(bench.fetch.jobs) == {"a", "b", "c"}, "sizes are not known before the fetch"
    for tag in "abc":
        bench.fetch.finish(tag, stored(tag))
    bench.admit("d")
    bench.step()
    assert "d" not in bench.fetch.jobs, "300 bytes lie in the spool, 150 are allowed"
    for tag in "abc":
        bench.decode.finish(tag, NotMedia("text"))
    bench.step()
    assert "d" in bench.fetch.jobs


def test_a_full_stage_is_offered_the_job_again() -> None:
    bench = Bench(room=1)
    bench.admit("a")
    bench.admit("b")
    bench.step()
    assert set(bench.fetch.jobs) == {"a"}
    bench.fetch.finish("a", stored("a"))
    bench.step()
    assert set(bench.fetch.jobs) == {"b"}


def test_the_death_of_a_stage_is_raised_and_close_removes_what_lies_there() -> None:
    bench = Bench()
    bench.admit("a")
    bench.step()
    bench.fetch.finish("a", stored("a"))
    bench.step()
    bench.engine.death = StageDied("engine")
    with pytest.raises(StageDied):
        bench.step()
    bench.flow.close(1.0)
    assert bench.spool.removed == [Path("a.object")]
    assert all(stage.closed for stage in (bench.fetch, bench.decode, bench.engine))


def outcome_of(stage: FakeStage, tag: Hashable, kind: str) -> object:
    if kind == "retry":
        return StorageUnavailable("503")
    if kind == "dead":
        return NotMedia("text")
    return {"fetch": stored(tag), "decode": decoded(tag), "engine": heard()}[stage.name]


def paths_of(value: object) -> list[Path]:
    if isinstance(value, StoredObject):
        return [value.path]
    return [track.path for track in value.tracks] if isinstance(value, DecodedAudio) else []


@given(st.data())
def test_every_recording_ends_exactly_once_and_every_file_is_removed(data: st.DataObject) -> None:
    bench = Bench(attempts=2, gates=Gates(bytes=250, audio_ms=2500), room=3)
    tags = list(range(data.draw(st.integers(1, 8))))
    for tag in tags:
        bench.admit(tag)
    ends: list[Ended] = []
    made: list[Path] = []
    while bench.flow.load.records:
        ends += bench.step(2.0)
        for stage in (bench.fetch, bench.decode, bench.engine):
            for busy in list(stage.jobs):
                kind = data.draw(st.sampled_from(["done", "still at it", "retry", "dead"]))
                if kind != "still at it":
                    value = outcome_of(stage, busy, kind)
                    made += paths_of(value)
                    stage.finish(busy, value)
    assert sorted(end.tag for end in ends) == tags  # type: ignore[type-var]
    assert sorted(bench.spool.removed) == sorted(made)
    assert bench.flow.load == Load(0, 0, 0)


def test_who_finds_the_disk_full_waits_for_the_others_however_often() -> None:
    bench = Bench(attempts=2)
    bench.admit("a")
    bench.admit("b")
    bench.step()
    bench.fetch.finish("a", stored("a"))
    for _ in range(10):
        bench.fetch.finish("b", SpoolFull("no room"))
        assert bench.step() == []
        assert "b" not in bench.fetch.jobs
        bench.step(1.0)
        assert "b" in bench.fetch.jobs
    bench.decode.finish("a", NotMedia("text"))
    bench.step()
    bench.fetch.finish("b", stored("b"))
    assert bench.step() == []


def test_who_finds_the_disk_full_of_what_is_not_ours_waits_for_room() -> None:
    bench = Bench(attempts=1)
    bench.spool.full = True
    bench.admit("a")
    bench.step()
    assert bench.flow.crowded
    for _ in range(5):
        bench.fetch.finish("a", SpoolFull("no room"))
        assert bench.step() == []
        bench.step(1.0)
    bench.spool.full = False
    bench.fetch.finish("a", stored("a"))
    assert bench.step() == []
    assert bench.decode.jobs


def test_what_is_too_large_for_an_empty_disk_fails() -> None:
    bench = Bench(attempts=2)
    bench.admit("a")
    bench.step()
    bench.fetch.finish("a", SpoolFull("no room"))
    assert bench.step() == []
    bench.step(1.0)
    bench.fetch.finish("a", SpoolFull("no room"))
    (end,) = bench.step()
    assert isinstance(end.result, SpoolFull)
    assert end.attempts == 2


def test_nothing_more_is_fetched_onto_a_crowded_disk() -> None:
    bench = Bench()
    bench.admit("a")
    bench.step()
    bench.fetch.finish("a", stored("a"))
    bench.spool.full = True
    bench.admit("b")
    bench.step()
    assert bench.fetch.jobs == {}
    assert list(bench.decode.jobs) == ["a"], "or nothing would ever be removed"
    bench.decode.finish("a", decoded("a"))
    bench.step()
    bench.engine.finish("a", heard())
    bench.step()
    bench.step()
    assert list(bench.fetch.jobs) == ["b"], "an empty spool has room for one"


def test_begun_is_what_a_stage_has_taken() -> None:
    bench = Bench(room=1)
    bench.admit("a")
    bench.admit("b")
    assert not bench.flow.begun("a")
    bench.step()
    assert bench.flow.begun("a")
    assert not bench.flow.begun("b")
    assert not bench.flow.begun("never heard of")
