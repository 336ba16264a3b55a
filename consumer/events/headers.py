"""Names of the Kafka headers this service reads and writes, and how to read them.

Kafka allows several headers of one name; as in the Java client's ``lastHeader``, the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes | None]]
"""Headers as the Kafka client hands them out: in order, values may be null."""

RECORDING = "tingxie-recording"
"""``bucket/key``: which recording of an event with several this record is about."""

ATTEMPT = "tingxie-attempt"
"""How often the recording was tried before, decimal."""

NOT_BEFORE = "tingxie-not-before"
"""Earliest time of the next try, epoch milliseconds."""

FIRST_SEEN = "tingxie-first-seen"
"""When the event was first taken up, epoch milliseconds."""

HISTORY = "tingxie-history"
"""How each round of tries ended: a JSON array of objects with ``attempts``, ``class``, ``stage`` and ``timestamp``."""

REPLAY = "tingxie-replay"
"""Id of the replay that sent an upload event again; also on the transcripts that came of it."""

REDRIVES = "tingxie-redrives"
"""How often a dead letter was sent again, decimal."""

COPY_OF = "tingxie-copy-of"
"""``topic/partition/offset`` of the record that a replay or a redrive sent again."""

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
CONTENT_TYPE = "content-type"
CE_PREFIX = "ce_"
"""Prefix of CloudEvents attributes in the Kafka protocol binding's binary mode."""

MOST_REPLAY_ID = 64
"""Characters of a replay's id."""

_REPLAY_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MOST_REPLAY_ID - 1}}}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.DOTALL)


def last(headers: Headers, name: str) -> bytes | None:
    """The value of the last header of that name; None when there is none, or its value is null."""
    for header, value in reversed(headers):
        if header == name:
            return value
    return None


def text(headers: Headers, name: str) -> str | None:
    """Like `last`, as UTF-8 text; bytes that are no UTF-8 become U+FFFD, so that this never raises."""
    value = last(headers, name)
    return None if value is None else value.decode("utf-8", errors="replace")


def number(headers: Headers, name: str) -> int | None:
    """Like `text`, as a number that is not negative, of 19 digits at most; None when it is none."""
    value = text(headers, name)
    if value is None or not value.isascii() or not value.isdigit() or len(value) > len(str(2**63)):
        return None
    return int(value)


def replay_id(headers: Headers) -> str | None:
    """The replay a record belongs to; None when its header names none, or what can be no id."""
    value = text(headers, REPLAY)
    return value if value is not None and is_replay_id(value) else None


def is_replay_id(value: str) -> bool:
    """Whether a replay may be called that: letters, digits, dots, dashes and underscores, 64 at most."""
    return _REPLAY_ID.fullmatch(value) is not None


def traceparent(headers: Headers) -> str | None:
    """The W3C trace context of a record when it has a valid one, else None."""
    value = text(headers, TRACEPARENT)
    return value if value is not None and is_traceparent(value) else None


def is_traceparent(value: str) -> bool:
    """Whether the text is a ``traceparent`` as W3C Trace Context defines it (version 00, or a later one's prefix)."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return False
    version, trace_id, parent_id, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return False
    return trace_id.strip("0") != "" and parent_id.strip("0") != ""
