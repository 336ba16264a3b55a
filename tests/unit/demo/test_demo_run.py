from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import cast

import pytest
from rich.text import Text

from consumer.demo import run
from consumer.demo.board import Board, News, Row
from consumer.demo.run import Demo, Interrupt, run_demo
from consumer.demo.samples import Sample
from consumer.demo.serving import BUCKET, TOPICS, ServiceThread
from consumer.demo.uploads import UploadThread
from consumer.errors import NotMedia, StageDied, UsageError
from consumer.events.recording import Recording
from consumer.events.transcript import Transcript
from consumer.kafka.follow import Follower
from consumer.kafka.records import Record
from consumer.pipeline.observer import Ended
from tests.unit.demo.topics import record

GOOD = Sample(Path("good.wav"), "completed", text="你好。")
BAD = Sample(Path("bad.wav"), "dead-letter", error_class="not_media")


class Screen:
    """Remembers what it was told."""

    live = False

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ends: list[tuple[str, int, int | None]] = []

    def say(self, line: Text) -> None:
        self.said.append(line.plain)

    def draw(self, board: Board, status: str, now: float) -> None:
        pass

    def over(self, row: Row, number: int, of: int | None) -> None:
        self.ends.append((row.key, number, of))

    def settle(self, board: Board, now: float) -> None:
        pass


class World:
    """In place of uploads, service and topics: each upload ends at once, as it is told to."""

    def __init__(self, transcribed: Callable[..., Transcript], *, lost: bool = False) -> None:
        self.news: SimpleQueue[News] = SimpleQueue()
        self.published: list[Record] = []
        self.death: Exception | None = None
        self._transcribed = transcribed
        self._lost = lost

    def put(self, key: str, path: Path) -> None:
        result = NotMedia("no") if "bad" in key else self._transcribed("你好。", key=key)
        ended = Ended(key, Recording(bucket=BUCKET, key=key), result, 1, {})
        self.news.put(lambda board: board.uploaded(key))
        self.news.put(lambda board: board.admitted(key, key, 0.0))
        self.news.put(lambda board: board.ended(ended, 1.0))
        self.news.put(lambda board: board.acknowledged(key, 1.0))
        if self._lost:
            return
        if isinstance(result, Transcript):
            self.published.append(record(TOPICS.transcripts, result.to_bytes()))
        else:
            event = f'{{"bucket": "{BUCKET}", "key": "{key}"}}'.encode()
            self.published.append(record(TOPICS.dead_letters, event, [("__dlq.errors.class", b"not_media")]))

    def read(self) -> list[Record]:
        published, self.published = self.published, []
        return published

    def check(self) -> None:
        if self.death is not None:
            raise self.death


def demo_of(world: World, interrupt: Interrupt | None = None) -> tuple[Demo, Screen]:
    screen = Screen()
    demo = Demo(
        screen=screen,
        interrupt=interrupt or Interrupt(),
        news=world.news,
        service=cast("ServiceThread", world),
        uploads=cast("UploadThread", world),
        reader=cast("Follower", world),
        address="127.0.0.1:1",
    )
    return demo, screen


def test_all_as_it_should_be(transcribed: Callable[..., Transcript]) -> None:
    demo, screen = demo_of(World(transcribed))
    assert demo.transcribe((GOOD, BAD)) == 0
    assert screen.ends == [("good.wav", 1, 2), ("bad.wav", 2, 2)]
    assert "all 2 samples" in screen.said[-1]


def test_a_sample_that_ends_otherwise_fails_the_demo(transcribed: Callable[..., Transcript]) -> None:
    demo, screen = demo_of(World(transcribed))
    wrong = Sample(Path("bad.wav"), "completed", text="你好。")
    assert demo.transcribe((GOOD, wrong)) == 1
    assert "bad.wav: ended as dead-letter (not_media), should be completed" in screen.said[-1]


def test_what_the_screen_saw_is_no_proof(
    transcribed: Callable[..., Transcript], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "READ_BACK_S", 0.3)
    demo, screen = demo_of(World(transcribed, lost=True))
    assert demo.transcribe((GOOD, BAD)) == 1
    assert len(screen.ends) == 2
    assert "good.wav: neither a transcript nor a dead letter arrived" in screen.said[-1]


def test_an_interrupt_is_no_success(transcribed: Callable[..., Transcript]) -> None:
    demo, screen = demo_of(World(transcribed), Interrupt(came=True))
    assert demo.transcribe((GOOD,)) == 130
    assert screen.said == []


def test_the_end_of_the_service_ends_the_demo(transcribed: Callable[..., Transcript]) -> None:
    world = World(transcribed)
    world.death = StageDied("the engine died")
    demo, _ = demo_of(world)
    with pytest.raises(StageDied, match="the engine died"):
        demo.transcribe((GOOD,))


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--keep .*file/folder"):
        run_demo(keep=tmp_path / "file" / "folder")
