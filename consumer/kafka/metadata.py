"""What travels in the metadata of a committed offset: the progress beyond it. Pure.

A committed offset says that everything below it is complete. Above it records complete out of order, and which of
those are still incomplete is written beside the offset, so that the next owner of the partition repeats only them.

The text is ``tingxie/1:`` and base64 (RFC 4648, URL-safe, no padding) of a run of LEB128 numbers::

    base    the offset it was committed with: metadata of any other offset is void
    span    how many offsets above it are spoken of; those of them that are not incomplete are complete
    form    how the incomplete ones are told, the shorter of
            0: numbers in turns: how many in a row are incomplete, how many complete, …, up to the span
            1: a bit for each offset, the lowest first, set where incomplete
    deaths  of the incomplete ones in order, in turns: so many in a row, deaths of each

Brokers take 4,096 bytes (``offset.metadata.max.bytes``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

MOST_BYTES = 4096
"""What a broker takes unless told otherwise."""

PREFIX = "tingxie/1:"

_ROOM = (MOST_BYTES - len(PREFIX)) * 3 // 4
_HEAD = 24
"""Bytes that base, span and form take at most together."""
_RUN = 6
"""Bytes that an incomplete offset and the complete ones before it take at most together: a span has up to 35 bits."""
_RUNS, _BITS = 0, 1

MOST_INCOMPLETE = (_ROOM - _HEAD) // _RUN
"""So many incomplete offsets have room for sure, wherever they are and whichever of them complete first."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a partition at and above an offset.

    Attributes:
        base: the offset; everything below is complete.
        end: the first offset that nothing is known of.
        incomplete: those in between that are not complete, in order, and how many processes in a row died with the
            record in work. All others are complete.
    """

    base: int
    end: int
    incomplete: Mapping[int, int] = field(default_factory=dict)


def encode(progress: Progress) -> str:
    """The text for an offset commit; empty when there is nothing to say that the offset does not.

    Deaths are left out where there is no room for them: they guard against a rare fault, the rest against repeats.

    Raises:
        ValueError: more than `MOST_INCOMPLETE` are incomplete, and they have no room.
    """
    if progress.base == progress.end:
        return ""
    span = progress.end - progress.base
    told = [offset - progress.base for offset in progress.incomplete]
    head = [*_varint(progress.base), *_varint(span)]
    body = bytes((*head, _RUNS, *_runs(told, span)))
    if len(head) + 1 + span // 8 < len(body):
        body = bytes((*head, _BITS, *_bits(told, span)))
    if len(body) > _ROOM:
        raise ValueError(f"{len(told)} incomplete offsets of {span} have no room in the metadata of a commit")
    deaths = bytes(_deaths(progress.incomplete.values())) if any(progress.incomplete.values()) else b""
    if len(body) + len(deaths) <= _ROOM:
        body += deaths
    return PREFIX + base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode(metadata: str | None, offset: int) -> Progress:
    """What the metadata of a committed offset tells; nothing beyond the offset when it is foreign, garbage or void.

    Args:
        metadata: as the broker keeps it.
        offset: that was committed with it.
    """
    nothing = Progress(offset, offset)
    if metadata is None or not metadata.startswith(PREFIX) or len(metadata) > MOST_BYTES:
        return nothing
    text = metadata[len(PREFIX) :]
    try:
        body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        progress = _read(body)
    except (binascii.Error, ValueError, IndexError):
        return nothing
    return progress if progress.base == offset else nothing


def _read(body: bytes) -> Progress:
    numbers = _Numbers(body)
    base, span, form = numbers.next(), numbers.next(), numbers.next()
    if form not in {_RUNS, _BITS}:
        raise ValueError(f"form {form} is not known")
    told = list(_told_by_runs(numbers, span) if form == _RUNS else _told_by_bits(numbers, span))
    if len(told) > MOST_INCOMPLETE:
        raise ValueError("more incomplete offsets than anybody has in work")
    deaths = list(_told_deaths(numbers, len(told)))
    deaths += [0] * (len(told) - len(deaths))
    return Progress(base, base + span, {base + at: count for at, count in zip(told, deaths, strict=True)})


# --- numbers --------------------------------------------------------------------------------------------------------


def _varint(number: int) -> Iterator[int]:
    """LEB128: seven bits a byte, the lowest first."""
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


class _Numbers:
    """Reads LEB128 numbers; IndexError where one is cut off."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def next(self) -> int:
        """The next number."""
        number = shift = 0
        while True:
            byte = self._body[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte <= 0x7F:
                return number
            shift += 7

    def raw(self, count: int) -> bytes:
        """So many bytes as they are."""
        taken = self._body[self._at : self._at + count]
        if len(taken) < count:
            raise ValueError("it is cut off")
        self._at += count
        return taken

    @property
    def ended(self) -> bool:
        return self._at == len(self._body)


# --- which are incomplete -------------------------------------------------------------------------------------------


def _runs(told: list[int], span: int) -> Iterator[int]:
    """Lengths of runs of incomplete and complete offsets in turns."""
    begin = end = 0  # of the run of incomplete ones that is not told yet
    for each in told:
        if each != end:
            yield from (*_varint(end - begin), *_varint(each - end))
            begin = each
        end = each + 1
    yield from _varint(end - begin)
    if end < span:
        yield from _varint(span - end)


def _told_by_runs(numbers: _Numbers, span: int) -> Iterator[int]:
    at = 0
    incomplete = True
    while at < span:
        count = numbers.next()
        if count > span - at or (count == 0 and at > 0):
            raise ValueError("its runs do not fit its span")
        if incomplete:
            if count > MOST_INCOMPLETE:
                raise ValueError("more incomplete offsets than anybody has in work")
            yield from range(at, at + count)
        at += count
        incomplete = not incomplete


def _bits(told: list[int], span: int) -> bytes:
    bits = bytearray(-(-span // 8))
    for each in told:
        bits[each >> 3] |= 1 << (each & 7)
    return bytes(bits)


def _told_by_bits(numbers: _Numbers, span: int) -> Iterator[int]:
    bits = numbers.raw(-(-span // 8))
    return (at for at in range(span) if bits[at >> 3] >> (at & 7) & 1)


# --- deaths ---------------------------------------------------------------------------------------------------------


def _deaths(counts: Iterable[int]) -> Iterator[int]:
    for count, alike in groupby(counts):
        yield from _varint(len(list(alike)))
        yield from _varint(count)


def _told_deaths(numbers: _Numbers, most: int) -> Iterator[int]:
    told = 0
    while not numbers.ended:
        alike, count = numbers.next(), numbers.next()
        told += alike
        if alike == 0 or told > most:
            raise ValueError("more deaths than incomplete offsets")
        yield from (count for _ in range(alike))
