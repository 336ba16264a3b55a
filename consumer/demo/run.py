"""``tingxie demo``: broker, bucket and the real service in one process, and recordings on their way through them."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Literal

from consumer.demo.board import Board, News, NewsObserver, Row, Totals
from consumer.demo.broker import embedded_broker
from consumer.demo.bucket import embedded_storage
from consumer.demo.drop import DropFolder
from consumer.demo.endings import ending
from consumer.demo.output import own_stdout
from consumer.demo.samples import Ending, Sample, errors_in, faults, load_samples
from consumer.demo.screen import Screen, open_screen
from consumer.demo.serving import BUCKET, TOPICS, ServiceThread, demo_settings, storage_settings
from consumer.demo.summary import next_steps, opening, result, watching
from consumer.demo.table import totals_line
from consumer.demo.uploads import UploadThread
from consumer.errors import UsageError
from consumer.kafka.follow import Follower
from consumer.operations.logging import configure_logging
from consumer.storage.upload import Uploader

READ_BACK_S = 10.0
"""How long the topics may take to show what the broker acknowledged."""

TICK_S = 0.1
INTERRUPTED = 130


def run_demo(*, keep: Path | None, verbose: bool = False, samples: tuple[Sample, ...] | None = None) -> int:
    """Transcribe the sample recordings, show how, and check what the topics hold.

    Args:
        keep: a folder (created where missing) whose files are transcribed afterwards, until SIGINT or SIGTERM.
        verbose: show what the service logs.
        samples: others than the shipped ones.

    Returns:
        Exit code: 0 when all samples ended as they should, 1 when not, 130 when interrupted before they did.

    Raises:
        UsageError: the folder cannot be used, or the extra ``demo`` is not installed.
        StopError: the service cannot go on.
    """
    if keep is not None:
        _make(keep)
    samples = load_samples() if samples is None else samples
    with ExitStack() as stack:
        screen = stack.enter_context(open_screen(stack.enter_context(own_stdout())))
        # On a terminal the table shows every dead letter with its reason: a log line for it would only be in the way.
        level: Literal["info", "warning", "error"] = "info" if verbose else "error" if screen.live else "warning"
        configure_logging(level, "console" if screen.live else "auto")
        interrupt = stack.enter_context(_interrupts())
        demo = stack.enter_context(_start(screen, interrupt))
        code = demo.transcribe(samples)
        if keep is not None and not interrupt.came:
            demo.watch(keep)
        elif code == 0:
            screen.say(next_steps(samples))
        if interrupt.came:
            demo.drain()
        return code


@dataclass(slots=True)
class Interrupt:
    """Whether SIGINT or SIGTERM came."""

    came: bool = False


@dataclass(slots=True)
class Demo:
    """All that runs, and the loop that shows it. Used by one thread."""

    screen: Screen
    interrupt: Interrupt
    news: SimpleQueue[News]
    service: ServiceThread
    uploads: UploadThread
    reader: Follower
    address: str
    board: Board = field(default_factory=Board)
    endings: dict[str, Ending] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)
    over: int = 0

    def transcribe(self, samples: tuple[Sample, ...]) -> int:
        """Send the samples through, until all are over and read back; returns the exit code."""
        for sample in samples:
            self.uploads.put(sample.name, sample.path)
        give_up_s = float("inf")
        while self.over < len(samples) or (len(self.endings) < self._expected() and time.monotonic() < give_up_s):
            if self.interrupt.came:
                self.screen.settle(self.board, time.monotonic())
                return INTERRUPTED
            for row in self.turn(self._status(len(samples))):
                self.over += 1
                self.screen.over(row, self.over, len(samples))
            if self.over == len(samples):
                give_up_s = min(give_up_s, time.monotonic() + READ_BACK_S)
        self.screen.settle(self.board, time.monotonic())
        wrong = faults(samples, self.endings)
        self.screen.say(result(self.board.totals, self.endings, errors_in(samples, self.endings), wrong, len(samples)))
        return 1 if wrong else 0

    def watch(self, folder: Path) -> None:
        """Transcribe what is dropped in the folder until interrupted."""
        self.screen.say(watching(folder, self.address))
        self.board = Board()
        self.board.joined()
        self.over = 0
        with closing(DropFolder(folder)) as dropped:
            while not self.interrupt.came:
                for path in dropped.complete(time.monotonic()):
                    self.uploads.put(dropped.name(path), path)
                self._show_dropped(f"watching {folder} (Ctrl-C ends)")

    def drain(self) -> None:
        """Let the service finish what it has, and stop."""
        self.uploads.close()
        self.service.stop()
        while self.service.running and self.board.ready:
            self._show_dropped("finishing what is in work")
        self._show_dropped("stopped")
        self.screen.settle(Board(), time.monotonic())
        if self.board.totals != Totals():
            self.screen.say(totals_line(self.board.totals))

    def turn(self, status: str) -> list[Row]:
        """Take in what happened, draw it, and return the rows that are over since; waits `TICK_S` at most.

        Raises:
            StopError: the service or the uploads ended by themselves.
        """
        over: list[Row] = []
        for news in self._arrived():
            row = news(self.board)
            if row is not None:
                over.append(row)
        for record in self.reader.read():
            told = ending(record, TOPICS)
            if told is not None:
                self.endings[told[0]] = told[1]
        self.service.check()
        self.uploads.check()
        self.screen.draw(self.board, status, time.monotonic())
        return over

    def _show_dropped(self, status: str) -> None:
        for row in self.turn(status):
            self.over += 1
            self.screen.over(row, self.over, None)
            self.board.forget(row.key)

    def _arrived(self) -> Iterator[News]:
        try:
            yield self.news.get(timeout=TICK_S)
            while True:
                yield self.news.get_nowait()
        except Empty:
            return

    def _expected(self) -> int:
        """How many objects the topics should tell of: all but those that were never uploaded."""
        return sum(row.state != "not taken" for row in self.board.rows.values())

    def _status(self, samples: int) -> str:
        if self.board.ready:
            done = f": {self.over} done" if self.screen.live else ""
            return f"transcribing {samples} recordings{done}"
        waited = f" ({time.monotonic() - self.started_s:.0f} s)" if self.screen.live else ""
        return f"loading the models, which takes up to a minute{waited}"


@contextmanager
def _start(screen: Screen, interrupt: Interrupt) -> Iterator[Demo]:
    """Start everything; the model loads while recordings are uploaded already."""
    news: SimpleQueue[News] = SimpleQueue()
    clock = time.monotonic
    with ExitStack() as stack:
        screen.draw(Board(), "starting the embedded broker and bucket", clock())
        broker = stack.enter_context(embedded_broker((TOPICS.uploads, TOPICS.transcripts, TOPICS.dead_letters)))
        url = stack.enter_context(embedded_storage())
        spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tingxie-demo-")))
        storage = storage_settings(url)
        settings = demo_settings(broker=broker.address, storage=storage, spool=spool)
        outgoing = (TOPICS.transcripts, TOPICS.dead_letters)
        reader = stack.enter_context(closing(Follower(settings.kafka, outgoing, "beginning")))
        service = stack.enter_context(closing(ServiceThread(settings, NewsObserver(news.put, clock))))
        uploads = stack.enter_context(
            closing(
                UploadThread(
                    Uploader(storage),
                    broker,
                    bucket=BUCKET,
                    topic=TOPICS.uploads,
                    uploaded=lambda key: news.put(lambda board: board.uploaded(key)),
                    refused=lambda key, why: news.put(lambda board: board.refused(key, why, clock())),
                )
            )
        )
        screen.say(opening(broker.address, f"{url}/{BUCKET}"))
        yield Demo(screen, interrupt, news, service, uploads, reader, broker.address)


@contextmanager
def _interrupts() -> Iterator[Interrupt]:
    """Notes the first SIGINT or SIGTERM; a second one interrupts at once."""
    interrupt = Interrupt()

    def note(number: int, frame: FrameType | None) -> None:
        if interrupt.came:
            signal.default_int_handler(number, frame)
        interrupt.came = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep {folder}: {error}; name a folder that can be created and read") from error
