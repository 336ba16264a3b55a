"""What a person at a terminal sees while ``tingxie transcribe`` works; nothing at all elsewhere. Never on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from consumer.commands.terminal import printable
from consumer.errors import RecordingError
from consumer.events.recording import Recording
from consumer.pipeline.observer import Ended, Observer


class Display(Observer):
    """Messages, and on a terminal a bar with the stages that recordings are in; used as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stages: dict[Hashable, str] = {}
        self._names: dict[Hashable, str] = {}
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[stages]}", style="dim"),
            console=console,
            transient=True,
            redirect_stdout=False,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._exit = ExitStack()

    def __enter__(self) -> Display:  # noqa: PYI034 - typing.Self came with Python 3.11
        self._exit.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    def loading(self) -> AbstractContextManager[object]:
        """Shown while the models load; must not be used inside ``with display``."""
        return self._console.status("loading the models") if self._console.is_terminal else ExitStack()

    def total(self, recordings: int) -> None:
        """How many recordings there are; the clock starts."""
        self._task = self._bar.add_task("transcribing", total=recordings, stages="")

    def done(self) -> None:
        """One more is over, with a transcript or without."""
        assert self._task is not None
        self._bar.advance(self._task)

    def say(self, message: str) -> None:
        """A line for the person, above the bar."""
        self._console.print(printable(message), markup=False, highlight=False, soft_wrap=True)

    def beside(self, write: Callable[[], None]) -> None:
        """Write to stdout, which may be the same terminal, without tearing the bar apart."""
        if not self._bar.live.is_started:
            write()
            return
        self._bar.stop()
        try:
            write()
        finally:
            self._bar.start()

    def admitted(self, tag: Hashable, recording: Recording) -> None:
        """Waits for its turn."""
        self._names[tag] = f"s3://{recording.object_id}" if recording.bucket else recording.key

    def entered(self, tag: Hashable, stage: str) -> None:
        """Count it there."""
        self._stages[tag] = stage
        self._show()

    def retrying(self, tag: Hashable, error: RecordingError, attempt: int, delay_ms: int) -> None:
        """Tell why it takes longer."""
        self.say(f"tingxie: {self._names[tag]}: try {attempt} failed ({error.code}: {error}); again in {delay_ms} ms")

    def ended(self, ended: Ended) -> None:
        """Count it no more."""
        self._stages.pop(ended.tag, None)
        self._names.pop(ended.tag, None)
        self._show()

    def _show(self) -> None:
        counts = Counter(self._stages.values())
        stages = " · ".join(f"{stage} {counts[stage]}" for stage in ("fetch", "decode", "engine") if counts[stage])
        if self._task is not None:
            self._bar.update(self._task, stages=stages)
