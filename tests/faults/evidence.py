"""What a run left behind in the topics, as plain values: all that the checker knows. Pure.

Times are epoch milliseconds of one clock: topics of a run are stamped by the brokers when they append.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record that the group had to work on, in the upload topic or in a retry topic.

    Attributes:
        topic, partition, offset: where it is.
        at_ms: when it was appended.
        recording: name of the one recording it announces; no other upload has it, a record of a retry topic has that
            of its upload.
        object_id: ``bucket/key``.
        attempt: 0 in the upload topic; in a retry topic how often it was tried before.
    """

    topic: str
    partition: int
    offset: int
    at_ms: int
    recording: str
    object_id: str
    attempt: int = 0

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.topic, self.partition, self.offset


@dataclass(frozen=True, slots=True)
class Ended:
    """A transcript or dead letter.

    Attributes:
        recording: whose.
        object_id: ``bucket/key``.
        at_ms: when it was appended.
        made_ms: when the work on it was over.
        begun_ms: when the work on it began, as far as it tells, else when it was over.
        status: ``completed`` or ``no_speech`` of a transcript, or ``dead-letter``.
        member: who made it; None when it does not tell, as dead letters do not.
        etag: of the object as transcribed; "" of a dead letter.
        text: of a transcript.
        transcript_id: of a transcript.
        error_class: of a dead letter.
        retryable: of a dead letter: whether another try may succeed.
    """

    recording: str
    object_id: str
    at_ms: int
    made_ms: int
    begun_ms: int
    status: str
    member: str | None = None
    etag: str = ""
    text: str = ""
    transcript_id: str = ""
    error_class: str = ""
    retryable: bool = False

    @property
    def is_dead_letter(self) -> bool:
        """Whether it is no transcript."""
        return self.status == "dead-letter"


@dataclass(frozen=True, slots=True)
class Commit:
    """What the group had committed for a partition from a moment on.

    Attributes:
        topic, partition: whose.
        at_ms: when the brokers took it.
        offset: everything below it is done.
        beyond: offsets above it that the metadata says are done.
    """

    topic: str
    partition: int
    at_ms: int
    offset: int
    beyond: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which a member could not know that its partitions had gone to another.

    Attributes:
        member: whose; None when it concerned all.
        from_ms, to_ms: when it was stopped or cut off, and when it had surely noticed.
    """

    member: str | None
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Content:
    """How an object of certain bytes must end.

    Attributes:
        status: ``completed``, ``no_speech`` or ``dead-letter``.
        text: of its transcript when nothing disturbs.
        error_class: of its dead letter.
    """

    status: str
    text: str = ""
    error_class: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it.

    Attributes:
        incoming: records of the upload topic and the retry topics.
        ended: records of the transcript topic and the dead-letter topic.
        commits: of the group, in the order the brokers took them; None when they could not be read.
        absences: in which repeats are nobody's fault.
        objects: every content that was put under an object's name, by ETag, by ``bucket/key``. An object that was
            never put has one content under the ETag "".
        announced: recordings whose upload record the cluster acknowledged.
    """

    incoming: tuple[Incoming, ...]
    ended: tuple[Ended, ...]
    commits: tuple[Commit, ...] | None
    absences: tuple[Absence, ...] = ()
    objects: Mapping[str, Mapping[str, Content]] = field(default_factory=dict)
    announced: frozenset[str] = frozenset()
