"""Room on the spool's disk: whoever waits for it gets it, and only what is too large for the disk by itself fails."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import SpoolFull
from consumer.events.transcript import Transcript
from consumer.pipeline.observer import Ended
from consumer.pipeline.work import Gates
from consumer.transcript.types import DecodedAudio, StoredObject, Track
from tests.unit.pipeline.bench import Bench, FakeStage, decoded, heard, stored

FULL = SpoolFull("no room")
TURNS = 20_000
"""Far more than any run here needs."""


def fetched(bench: Bench, *tags: str) -> None:
    for tag in tags:
        bench.admit(tag)
    bench.step()
    for tag in tags:
        bench.fetch.finish(tag, stored(tag))
    bench.step()


def test_of_those_that_fill_the_disk_together_one_gives_back_what_it_has() -> None:
    bench = Bench(attempts=1)
    fetched(bench, "a", "b")
    bench.admit("c")
    bench.decode.finish("a", FULL)
    assert bench.step() == []
    assert bench.fetch.jobs == {}, "nothing is fetched into the room that another one waits for"
    assert bench.spool.removed == [], "the other one may give room back"
    bench.decode.finish("b", FULL)
    assert bench.step() == []
    assert bench.spool.removed == [Path("b.object")]
    bench.step(1.0)
    assert set(bench.decode.jobs) == {"a"}
    assert bench.fetch.jobs == {}
    bench.decode.finish("a", decoded("a"))
    bench.step()
    assert list(bench.fetch.jobs) == ["b"], "the one that waits goes before others"
    bench.fetch.finish("b", stored("b"))
    bench.step()
    assert (set(bench.fetch.jobs), set(bench.decode.jobs)) == ({"c"}, {"b"})


def test_who_is_alone_and_finds_no_room_ends_and_the_others_go_on() -> None:
    bench = Bench(attempts=1)
    fetched(bench, "a", "b")
    for tag in "ab":
        bench.decode.finish(tag, FULL)
    bench.step()
    bench.step(1.0)
    bench.decode.finish("a", FULL)
    (end,) = bench.step()
    assert isinstance(end.result, SpoolFull)
    assert list(bench.fetch.jobs) == ["b"]


def test_a_try_beside_another_is_no_failed_one_though_that_is_gone() -> None:
    bench = Bench(attempts=1)
    fetched(bench, "a", "b")
    bench.decode.finish("a", decoded("a"))
    bench.step()
    bench.engine.finish("a", heard())
    assert len(bench.step()) == 1
    bench.decode.finish("b", FULL)
    assert bench.step() == [], "it met what the other one had on the disk"


def test_while_what_is_not_ours_fills_the_disk_nobody_fails_or_gives_anything_back() -> None:
    bench = Bench(attempts=1)
    fetched(bench, "a", "b")
    bench.spool.full = True
    for _ in range(5):
        for tag in list(bench.decode.jobs):
            bench.decode.finish(tag, FULL)
        assert bench.step() == []
        bench.step(1.0)
    assert bench.spool.removed == []


def test_each_track_counts() -> None:
    bench = Bench(gates=Gates(bytes=10**9, audio_ms=2_000))
    fetched(bench, "a")
    tracks = tuple(Track(channel, Path(f"{channel}.pcm"), 16_000) for channel in range(2))
    bench.decode.finish("a", DecodedAudio(tracks, 1_000, "wav", "pcm_s16le", 16_000, 2))
    bench.step()
    assert bench.flow.load.audio_ms == 2_000
    fetched(bench, "b")
    assert bench.decode.jobs == {}


@dataclass
class Disk:
    """A spool on a disk of so many bytes."""

    size: int
    keep_free: int
    foreign: int = 0
    files: dict[Path, int] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return self.size - self.foreign - sum(self.files.values())

    def crowded(self, without: int = 0) -> bool:
        return self.free + without < self.keep_free

    def remove(self, path: Path) -> None:
        self.files.pop(path, None)


@dataclass(frozen=True)
class Sizes:
    """What a recording takes on the disk, bytes: its object, and then each of its tracks beside it."""

    object: int
    samples: int
    tracks: int

    @property
    def decoded(self) -> int:
        return 2 * self.samples * self.tracks


class World:
    """Stages that write to the disk bit by bit, each at its own pace."""

    def __init__(self, disk: Disk, recordings: Mapping[Hashable, Sizes], rng: random.Random) -> None:
        self.disk, self.recordings, self.rng = disk, recordings, rng
        gates = Gates(bytes=rng.randint(1, 60), audio_ms=rng.randint(1, 60_000))
        self.bench = Bench(attempts=2, gates=gates, room=rng.randint(1, 4), spool=disk)
        self.written: dict[tuple[str, Hashable], tuple[Path, int]] = {}
        self.names = iter(range(10**9))

    def run(self) -> list[Ended]:
        ends: list[Ended] = []
        for tag in self.recordings:
            self.bench.admit(tag)
        for _ in range(TURNS):
            if not self.bench.flow.load.records:
                return ends
            ends += self.bench.step(self.rng.choice([0.0, 0.1, 1.0]))
            self.somebody_else()
            for tag in list(self.bench.fetch.jobs):
                self.write(self.bench.fetch, tag, self.recordings[tag].object)
            for tag in list(self.bench.decode.jobs):
                self.write(self.bench.decode, tag, self.recordings[tag].decoded)
            for tag in list(self.bench.engine.jobs):
                if self.rng.random() < 0.3:
                    self.bench.engine.finish(tag, heard())
        raise AssertionError(f"{self.bench.flow.load} after {TURNS} turns")

    def write(self, stage: FakeStage, tag: Hashable, size: int) -> None:
        path, left = self.written.pop((stage.name, tag), (Path(str(next(self.names))), size))
        some = min(left, self.rng.randint(0, 8))
        self.disk.files[path] = self.disk.files.get(path, 0) + some
        if self.disk.free < 0:
            self.disk.remove(path)
            stage.finish(tag, FULL)
        elif left > some:
            self.written[stage.name, tag] = path, left - some
        elif stage is self.bench.fetch:
            stage.finish(tag, StoredObject(path, size, "e", None))
        else:
            sizes = self.recordings[tag]
            tracks = tuple(Track(channel, path, sizes.samples) for channel in range(sizes.tracks))
            stage.finish(tag, DecodedAudio(tracks, 1_000 * sizes.samples, "wav", "pcm_s16le", 16_000, 1))

    def somebody_else(self) -> None:
        """Fill the disk, or take away again what fills it."""
        crowding = self.disk.size - self.disk.keep_free + 1
        if self.disk.foreign:
            self.disk.foreign *= self.rng.random() < 0.9
        elif self.rng.random() < 0.02 and self.disk.free >= crowding:
            self.disk.foreign = self.rng.randint(crowding, self.disk.free)


SIZES = st.builds(Sizes, object=st.integers(1, 24), samples=st.integers(0, 8), tracks=st.integers(1, 3))


@given(st.integers(8, 40), st.floats(0, 0.99), st.lists(SIZES, min_size=1, max_size=8), st.integers(0))
def test_every_recording_ends_and_none_that_fits_by_itself_fails_for_room(
    size: int, keep_free: float, sizes: list[Sizes], seed: int
) -> None:
    disk = Disk(size, keep_free=int(size * keep_free))
    recordings: dict[Hashable, Sizes] = dict(enumerate(sizes))
    ends = World(disk, recordings, random.Random(seed)).run()
    assert len(ends) == len(recordings)
    assert {end.tag for end in ends} == set(recordings)
    for end in ends:
        needs = recordings[end.tag]
        fits = needs.object + needs.decoded <= size
        assert isinstance(end.result, Transcript if fits else SpoolFull), needs
    assert disk.files == {}
