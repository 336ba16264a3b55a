"""What a replay sends again: of which records, which recordings, and what is transcribed already."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import orjson

from consumer.commands.arguments import TIMES, epoch_ms
from consumer.commands.terminal import printable
from consumer.errors import RecordingError, UsageError
from consumer.events.copies import Origin, origin_of, replayed
from consumer.events.headers import MOST_REPLAY_ID, Headers, is_replay_id
from consumer.events.parse import parse
from consumer.events.recording import Recording
from consumer.kafka.records import Record

PassedOver = Literal["outside", "copy", "no event", "not selected", "sent before", "transcribed"]
"""Why a record is not sent again: its time, because a replay or a redrive wrote it, because it cannot be read, because
nobody asked for its recordings, because an earlier run of this replay sent them, or because all have a transcript."""

_NUMBERED = re.compile(r"v?(\d{1,18}(?:\.\d{1,18})*)")
"""Numbers with more digits than any version has are names like others: anybody may write to the transcript topic."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of the window.

    Attributes:
        kind: what the value is.
        value: an offset, or epoch milliseconds.
    """

    kind: Literal["offset", "time"]
    value: int

    @classmethod
    def parse(cls, option: str, written: str | None) -> Bound | None:
        """Read an option's value.

        Raises:
            UsageError: it is neither an offset nor a time.
        """
        if written is None:
            return None
        if written.isascii() and written.isdigit():
            return cls("offset", int(written))
        for form in TIMES:
            try:
                moment = datetime.strptime(written, form)  # noqa: DTZ007 - without a zone it is local time
            except ValueError:
                continue
            return cls("time", epoch_ms(moment) or 0)
        raise UsageError(
            f"{option} {written}: give an offset, or a time such as 2026-11-23, 2026-11-23T08:00:00 "
            "or 2026-11-23T08:00:00+08:00"
        )

    def __str__(self) -> str:
        """As the option takes it; a time in the zone of this machine."""
        if self.kind == "offset":
            return str(self.value)
        return datetime.fromtimestamp(self.value / 1000, timezone.utc).astimezone().isoformat()


@dataclass(frozen=True, slots=True)
class Choice:
    """Which upload events are sent again.

    Attributes:
        topic: they are read from, unless there is a bucket.
        start: of the window; None for the oldest record.
        end: of the window, itself outside; None for what is in the topic now.
        partition: the only one; None for all.
        key: ``bucket/key`` with wildcards; None for all.
        ids: objects (``bucket/key``) or ids of events; None for all.
        bucket: ``s3://bucket/prefix``: an event for each recording there instead; times are then those of the objects.
        copies: also what replays and redrives wrote.
        only_missing: only recordings without a transcript.
        model_older_than: only recordings without a transcript of this model revision or a later one.
    """

    topic: str
    start: Bound | None = None
    end: Bound | None = None
    partition: int | None = None
    key: str | None = None
    ids: frozenset[str] | None = None
    bucket: str | None = None
    copies: bool = False
    only_missing: bool = False
    model_older_than: str | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: a bucket has no partitions, offsets or copies.
        """
        bounds = [bound.kind for bound in (self.start, self.end) if bound is not None]
        if self.bucket is not None and (self.partition is not None or self.copies or "offset" in bounds):
            raise UsageError("--from-bucket reads no topic: leave out --partition, --copies and offsets")

    def as_json(self) -> dict[str, Any]:
        """To compare with that of an earlier run; ids are told by their digest."""
        ids = None if self.ids is None else hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()
        return {
            "topic": self.topic,
            "from_bucket": self.bucket,
            "from": None if self.start is None else [self.start.kind, self.start.value],
            "to": None if self.end is None else [self.end.kind, self.end.value],
            "partition": self.partition,
            "key": self.key,
            "ids": ids,
            "copies": self.copies,
            "only_missing": self.only_missing,
            "model_older_than": self.model_older_than,
        }

    def takes(self, recording: Recording) -> bool:
        """Whether a recording is asked for by its name."""
        return (self.key is None or fnmatchcase(recording.object_id, self.key)) and (
            self.ids is None or recording.object_id in self.ids or recording.event_id in self.ids
        )

    def holds(self, record: Record) -> bool:
        """Whether a record's time is within the window. Times of a partition need not rise, so each is looked at."""
        after = self.start is None or self.start.kind == "offset" or record.timestamp_ms >= self.start.value
        before = self.end is None or self.end.kind == "offset" or record.timestamp_ms < self.end.value
        return after and before


class Transcribed:
    """Which object versions have a transcript that makes another one needless."""

    def __init__(self, older_than: str | None) -> None:
        """Nothing is known yet.

        Args:
            older_than: transcripts of an older model revision do not count; None counts all.
        """
        self._older_than = older_than
        self._versions: dict[str, set[tuple[str | None, str]]] = {}

    def add(self, value: bytes | None) -> None:
        """Note a record of the transcript topic; what is no transcript is ignored, for anybody may write there."""
        try:
            transcript = orjson.loads(value or b"")
        except orjson.JSONDecodeError:
            return
        match transcript:
            case {
                "source": {
                    "bucket": str(bucket),
                    "key": str(key),
                    "version_id": str() | None as version_id,
                    "etag": str(etag),
                },
                "model": {"revision": str(revision)},
            } if self._older_than is None or not is_older(revision, self._older_than):
                self._versions.setdefault(f"{bucket}/{key}", set()).add((version_id, etag))

    def covers(self, recording: Recording) -> bool:
        """Whether an object has one, in the version that its event names, if it names one."""
        return any(
            recording.version_id in {None, version_id} and recording.etag in {None, etag}
            for version_id, etag in self._versions.get(recording.object_id, ())
        )


def new_id(asked: str | None) -> str:
    """The id of a replay: the one asked for, else one that says when it began.

    Raises:
        UsageError: nothing may be called that.
    """
    if asked is None:
        return datetime.now(timezone.utc).strftime("replay-%Y%m%dT%H%M%S")
    if not is_replay_id(asked):
        raise UsageError(f"--id {asked}: give letters, digits, dots, dashes and underscores, {MOST_REPLAY_ID} at most")
    return asked


def read_ids(file: Path) -> frozenset[str]:
    """The lines of a file that are not empty.

    Raises:
        UsageError: it cannot be read, or has none.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--ids {file}: {error}; give a text file (UTF-8) with one id a line") from error
    ids = frozenset(line.strip() for line in lines if line.strip())
    if not ids:
        raise UsageError(f"--ids {file}: no id in it; write bucket/key or an event id on each line")
    return ids


def as_options(request: Mapping[str, Any]) -> str:
    """What a replay was begun with, as it is typed.

    Args:
        request: as the journal keeps it: `Choice.as_json`, and the options beside it.
    """
    taken = {name: value for name, value in request.items() if value is not None and value is not False}
    if "from_bucket" in taken:
        taken.pop("topic", None)  # they exclude each other
    words = []
    for name, value in taken.items():
        words.append(f"--{name.replace('_', '-')}")
        if name in {"from", "to"}:
            words.append(str(Bound(*value)))
        elif name == "ids":
            words.append("FILE")  # all that is known is their digest
        elif value is not True:
            words.append(shlex.quote(printable(str(value))))
    return " ".join(words)


def is_older(revision: str, than: str) -> bool:
    """Whether a model revision is older: by number where both are numbers (v2.0.4), else whenever they differ."""
    mine, others = _NUMBERED.fullmatch(revision), _NUMBERED.fullmatch(than)
    if mine is None or others is None:
        return revision != than
    return [int(part) for part in mine[1].split(".")] < [int(part) for part in others[1].split(".")]


def recordings_of(
    choice: Choice, transcribed: Transcribed | None, record: Record, sent: Collection[str | None] = ()
) -> list[Recording | None] | PassedOver:
    """Which recordings of a record are sent again, None standing for all of it; else why none is.

    Args:
        choice: what was asked for.
        transcribed: what needs no other transcript; None when that does not matter.
        record: of the topic.
        sent: objects of it that an earlier run has sent, None among them when it sent all. Asked before the
            transcripts are: they have changed since.
    """
    if not choice.holds(record):
        return "outside"
    if not choice.copies and origin_of(record.headers) is not None:
        return "copy"
    try:
        recordings = parse(record.value, record.headers).recordings
    except RecordingError:
        return "no event"
    named = [each for each in recordings if choice.takes(each)]
    if not named:
        return "not selected"
    left = [each for each in named if None not in sent and each.object_id not in sent]
    left = [each for each in left if transcribed is None or not transcribed.covers(each)]
    if not left:
        return "sent before" if sent else "transcribed"
    objects = {each.object_id: each for each in left}  # a copy asks for all versions of an object
    return [None] if len(left) == len(recordings) else [*objects.values()]


def copies_of(
    choice: Choice, record: Record, recordings: list[Recording | None], replay: str, for_model: str | None = None
) -> Iterator[Headers]:
    """The headers of each copy of a record.

    Args:
        choice: what was asked for.
        record: to send again.
        recordings: as `recordings_of` tells them.
        replay: its id.
        for_model: model revision that is asked for; None for any.
    """
    origin = None if choice.bucket else Origin(record.topic, record.partition, record.offset)
    for each in recordings:
        yield replayed(record.headers, origin, replay, None if each is None else each.object_id, for_model)
