"""What the demo knows about each recording: fed with news, read by whoever draws it. Pure; news bring their time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from consumer.errors import RecordingError
from consumer.events.recording import Recording
from consumer.events.transcript import Transcript
from consumer.pipeline.observer import Ended, Fate, Observer

WORK = ("uploaded", "fetch", "decode", "engine", "publish")
"""States of a recording that is not over, in their order."""

State = Literal["uploaded", "fetch", "decode", "engine", "publish", "done", "no speech", "dead letter", "not taken"]


@dataclass(slots=True)
class Row:
    """One recording.

    Attributes:
        key: the object's name.
        state: where it is.
        admitted_s: monotonic seconds at which the service took it, None before.
        ended_s: at which the broker had its transcript or dead letter, None before.
        result: its transcript or error, as soon as there is one.
        note: what is being tried again, or why it was not even uploaded; "" when there is nothing to say.
    """

    key: str
    state: State = "uploaded"
    admitted_s: float | None = None
    ended_s: float | None = None
    result: Transcript | RecordingError | None = None
    note: str = ""

    @property
    def over(self) -> bool:
        """Whether the broker acknowledged how it ended (or it never began)."""
        return self.ended_s is not None

    @property
    def audio_s(self) -> float | None:
        """Length of its audio; None where it is not known."""
        return self.result.duration_ms / 1000 if isinstance(self.result, Transcript) else None

    def took_s(self, now: float) -> float | None:
        """Seconds from when the service took it until it was over, or until now."""
        if self.admitted_s is None:
            return None
        return (now if self.ended_s is None else self.ended_s) - self.admitted_s


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all recordings that are over.

    Attributes:
        transcripts: those with text.
        no_speech: transcripts without.
        dead_letters: recordings without a transcript.
        audio_s: seconds of audio transcribed.
        busy_s: seconds in which at least one recording was in work.
    """

    transcripts: int = 0
    no_speech: int = 0
    dead_letters: int = 0
    audio_s: float = 0.0
    busy_s: float = 0.0

    @property
    def speed(self) -> float:
        """Seconds of audio per second of work; 0 before anything ended."""
        return self.audio_s / self.busy_s if self.busy_s > 0 else 0.0


class Board:
    """Rows in the order of their upload, with totals; several uploads under one key share a row."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.ready = False
        self.totals = Totals()
        self._keys: dict[Hashable, str] = {}
        self._busy_since: float | None = None

    @property
    def open(self) -> int:
        """Rows that are not over."""
        return sum(not row.over for row in self.rows.values())

    def uploaded(self, key: str) -> None:
        """The object is in the bucket, and its event is about to be published."""
        # A name that comes again goes to the end: it is the newest upload.
        self.rows.pop(key, None)
        self.rows[key] = Row(key)

    def refused(self, key: str, why: str, now: float) -> Row:
        """The file could not be uploaded; returns its row, which is over."""
        self.uploaded(key)
        row = self.rows[key]
        row.state, row.note, row.ended_s = "not taken", why, now
        return row

    def forget(self, key: str) -> None:
        """Take a row off; totals keep it."""
        self.rows.pop(key, None)

    def joined(self) -> None:
        """The service has partitions: its model is loaded, and records arrive."""
        self.ready = True

    def admitted(self, tag: Hashable, key: str, now: float) -> None:
        """The service took a recording into work."""
        self._keys[tag] = key
        row = self.rows.setdefault(key, Row(key))
        row.admitted_s, row.ended_s, row.result = now, None, None
        if self._busy_since is None:
            self._busy_since = now

    def entered(self, tag: Hashable, stage: State) -> None:
        """A stage began to work on it."""
        if (row := self._row(tag)) is not None:
            row.state, row.note = stage, ""

    def retrying(self, tag: Hashable, code: str, attempt: int) -> None:
        """A try failed in passing."""
        if (row := self._row(tag)) is not None:
            row.note = f"try {attempt} failed: {code}"

    def ended(self, ended: Ended, now: float) -> None:
        """The work is over; also told of events that could not be read, which were never admitted."""
        if ended.tag not in self._keys:
            key = ended.recording.key if ended.recording is not None else "(an event)"
            self.admitted(ended.tag, key, now)
        if (row := self._row(ended.tag)) is not None:
            row.result = ended.result

    def acknowledged(self, tag: Hashable, now: float) -> Row | None:
        """The broker has the transcript or dead letter; returns the row that is over by this."""
        row = self._row(tag)
        self._keys.pop(tag, None)
        if row is None or row.result is None:
            return None
        row.ended_s = now
        if isinstance(row.result, RecordingError):
            row.state = "dead letter"
        else:
            row.state = "done" if row.result.status == "completed" else "no speech"
        self._count(row, now)
        return row

    def _row(self, tag: Hashable) -> Row | None:
        key = self._keys.get(tag)
        return self.rows.get(key) if key is not None else None

    def _count(self, row: Row, now: float) -> None:
        before = self.totals
        busy_s = 0.0
        if self._busy_since is not None:
            busy_s = now - self._busy_since
            self._busy_since = now if self._keys else None
        self.totals = Totals(
            transcripts=before.transcripts + (row.state == "done"),
            no_speech=before.no_speech + (row.state == "no speech"),
            dead_letters=before.dead_letters + (row.state == "dead letter"),
            audio_s=before.audio_s + (row.audio_s or 0.0),
            busy_s=before.busy_s + busy_s,
        )


News = Callable[[Board], Row | None]
"""A change to a board, to be applied on the thread that draws it; returns a row that is over by it."""


class NewsObserver(Observer):
    """Turns what the service's loop tells into news; called on the loop's thread."""

    def __init__(self, tell: Callable[[News], None], clock: Callable[[], float]) -> None:
        """Set up.

        Args:
            tell: takes news; must not block.
            clock: monotonic seconds.
        """
        self._tell = tell
        self._clock = clock

    def admitted(self, tag: Hashable, recording: Recording) -> None:
        """See `Observer`."""
        now, key = self._clock(), recording.key
        self._tell(lambda board: board.admitted(tag, key, now))

    def entered(self, tag: Hashable, stage: str) -> None:
        """See `Observer`."""
        self._tell(lambda board: board.entered(tag, cast("State", stage)))

    def retrying(self, tag: Hashable, error: RecordingError, attempt: int, delay_ms: int) -> None:
        """See `Observer`."""
        code = error.code
        self._tell(lambda board: board.retrying(tag, code, attempt))

    def ended(self, ended: Ended) -> None:
        """See `Observer`."""
        now = self._clock()
        self._tell(lambda board: board.ended(ended, now))

    def acknowledged(self, tag: Hashable, fate: Fate) -> None:
        """See `Observer`."""
        now = self._clock()
        self._tell(lambda board: board.acknowledged(tag, now))

    def rebalanced(self, change: str, partitions: Sequence[tuple[str, int]]) -> None:
        """See `Observer`."""
        if change == "assigned" and partitions:
            self._tell(lambda board: board.joined())
