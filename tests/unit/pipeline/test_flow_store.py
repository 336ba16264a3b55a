"""The last stage of the flow, which only transcripts pass that are too large for an event."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

import pytest

from consumer.errors import NotMedia, StageDied, TranscriptBucketMissing, TranscriptNotStored
from consumer.events.stored import StoredTranscript, record_bytes
from consumer.events.transcript import Transcript
from consumer.pipeline.observer import Ended, Load
from tests.unit.pipeline.bench import Bench, decoded, heard, stored

LIMIT = 2_000
LONG = "字" * 100
STORED = StoredTranscript("s3://transcripts/transcripts/a.json", 9_000, "0" * 64)


def recognised(bench: Bench, tag: Hashable, text: str) -> list[Ended]:
    """Bring a recording to the end of the engine."""
    bench.admit(tag)
    bench.step()
    bench.fetch.finish(tag, stored(tag))
    bench.step()
    bench.decode.finish(tag, decoded(tag))
    bench.step()
    bench.engine.finish(tag, heard(text))
    return bench.step()


def test_a_transcript_that_fits_is_not_stored() -> None:
    bench = Bench(limit=LIMIT)
    (end,) = recognised(bench, "a", "好")
    assert isinstance(end.result, Transcript)
    assert end.result.segments
    assert end.result.transcript_uri is None
    assert bench.store.jobs == {}


def test_one_that_is_too_large_is_stored_before_its_event() -> None:
    bench = Bench(limit=LIMIT)
    assert recognised(bench, "a", LONG) == []
    (job,) = bench.store.jobs.values()
    assert job.text == LONG
    assert len(job.segments[0].words) == len(LONG)
    assert bench.flow.load == Load(1, 0, 0), "its audio is of no use any more"
    assert set(bench.spool.removed) == {Path("a.object"), Path("a.pcm")}
    bench.store.finish("a", STORED, 14)
    (end,) = bench.step()
    assert isinstance(end.result, Transcript)
    assert (end.result.transcript_uri, end.result.transcript_size, end.result.transcript_sha256) == (
        STORED.uri,
        STORED.size,
        STORED.sha256,
    )
    assert end.result.segments == ()
    assert end.result.text == LONG
    assert end.result.id == job.id
    assert end.stage_ms["store"] == 14
    assert bench.seen.stages[-1] == ("a", "store")
    assert bench.seen.ends == [end], "it ends once"


def test_its_text_is_left_out_where_that_is_too_large_as_well() -> None:
    bench = Bench(limit=LIMIT)
    recognised(bench, "a", "字" * 1_000)
    bench.store.finish("a", STORED)
    (end,) = bench.step()
    assert isinstance(end.result, Transcript)
    assert end.result.text == ""
    assert end.result.status == "completed"
    assert any("transcript_uri" in warning for warning in end.result.warnings)
    assert record_bytes(end.result, "tingxie") <= LIMIT


def test_a_storage_in_trouble_is_tried_again_and_others_go_on() -> None:
    bench = Bench(limit=LIMIT, attempts=3)
    recognised(bench, "a", LONG)
    for _ in range(2):
        bench.store.finish("a", TranscriptNotStored("503"))
        assert bench.step() == []
        assert len(recognised(bench, object(), "好")) == 1
        bench.step(1.1)  # beyond any pause the policy allows
        assert "a" in bench.store.jobs
    bench.store.finish("a", STORED)
    (end,) = bench.step()
    assert isinstance(end.result, Transcript)
    assert end.attempts == 3


@pytest.mark.parametrize("error", [TranscriptNotStored("503"), TranscriptBucketMissing("bucket transcripts: no")])
def test_what_cannot_be_stored_is_no_transcript(error: TranscriptNotStored | TranscriptBucketMissing) -> None:
    bench = Bench(limit=LIMIT, attempts=1)
    recognised(bench, "a", LONG)
    bench.store.finish("a", error)
    (end,) = bench.step()
    assert type(end.result) is type(error)
    assert str(end.result) == f"audio/a.wav: {error}"
    assert bench.flow.load == Load(0, 0, 0)


def test_dropped_work_is_not_stored_any_more() -> None:
    bench = Bench(limit=LIMIT)
    recognised(bench, "a", LONG)
    bench.flow.drop(["a"])
    assert bench.store.cancelled == ["a"]
    bench.store.finish("a", STORED)
    assert bench.step() == []
    assert bench.flow.load == Load(0, 0, 0)


def test_the_death_of_the_stage_is_raised_and_close_ends_it() -> None:
    bench = Bench(limit=LIMIT)
    bench.store.death = StageDied("store")
    with pytest.raises(StageDied):
        bench.step()
    bench.flow.close(1.0)
    assert bench.store.closed


def test_what_the_topic_refused_is_stored_and_sent_as_small_as_can_be() -> None:
    bench = Bench(limit=10**6)
    (end,) = recognised(bench, "a", LONG)
    assert bench.flow.store(end, now=bench.now)
    assert bench.flow.load.records == 1
    bench.step()
    assert bench.store.jobs == {"a": end.result}
    bench.store.finish("a", STORED)
    (again,) = bench.step()
    assert isinstance(again.result, Transcript)
    assert again.result.transcript_uri == STORED.uri
    assert (again.result.text, again.result.segments) == ("", ())
    assert set(again.stage_ms) == {"fetch", "decode", "engine", "store"}
    assert not bench.flow.store(again, now=bench.now), "it is stored already"


def test_nothing_is_stored_without_a_bucket_or_a_transcript() -> None:
    bench = Bench()
    (end,) = recognised(bench, "a", LONG)
    assert isinstance(end.result, Transcript)
    assert end.result.segments
    assert not bench.flow.store(end, now=bench.now)
    assert not Bench(limit=LIMIT).flow.store(replace(end, result=NotMedia("text")), now=0.0)
