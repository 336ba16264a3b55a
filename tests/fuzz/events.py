"""Strategies for Kafka records that hold damaged upload events: of every dialect, in every envelope."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from consumer.events.headers import RECORDING

Headers = list[tuple[str, bytes | None]]
Way = tuple[Any, ...]
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Record(NamedTuple):
    """What a Kafka record brings."""

    value: bytes | None
    headers: Headers


class Raw(NamedTuple):
    """A piece of JSON that no writer of JSON would write."""

    text: str


class Twin(NamedTuple):
    """A field's name, once more in the same object."""

    name: str
    number: int


def _examples() -> Iterator[tuple[Headers, Any]]:
    folder = Path(__file__).parents[2] / "schemas" / "examples"
    for path in sorted(folder.glob("*.json")):
        if not path.name.startswith(("transcript", "dead-letter")):
            content = json.loads(path.read_bytes())
            headers = [(name, value.encode()) for name, value in content.get("headers", {}).items()]
            yield headers, content.get("value", content)


EXAMPLES = tuple(_examples())
NAMES = sorted({part for _, event in EXAMPLES for part in str(event).split("'") if part.isidentifier()})

NUMBERS = (
    *("1" * 400, "-" + "9" * 30, "1e400", "1e-400", "-0", "18446744073709551616", "1.5"),
    *("NaN", "Infinity", "0x10", "01"),
)
STRINGS = (
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\u0000a/b"', '"\x01"', '"\\x"', '"'),
    *('"%ED%A0%80"', '"%ff%fe"', '"%"', '"%00"', '"+"', '"%2e%2e%2f%2e%2e%2fetc"'),
    *('"s3://"', '"s3://a"', '"/"', '"a//b"'),
    *(json.dumps("字" * size, ensure_ascii=False) for size in (341, 1_024, 1_025)),
    *(json.dumps("k" * size) for size in (64, 255, 256, 1_025, 40_000)),
)
NESTS = tuple(
    left * depth + right * depth for left, right in (("[", "]"), ('{"s3":', "}")) for depth in (3, 200, 1_100)
)
RAW = tuple(Raw(text) for text in (*NUMBERS, *STRINGS, *NESTS, "{}", "[]", "null", "true", "", ",", "{", "]"))
TELLING = (
    *("aws:s3", "minio:s3", "ceph:s3", "aws.s3", "Object Created", "Notification"),
    *("s3:TestEvent", "s3:ObjectCreated:Put", "ObjectCreated:Post", "ObjectRemoved:Delete", "ObjectSynced:Create"),
    *("1.0", "2.0", "application/json", "text/plain", "tingxie.transcript.ready.v1", "com.example.deleted"),
    *("audio-in/a.wav", "mix", "word", "srt", "zh", 0, -1, 2**63),
)
values = st.one_of(
    st.sampled_from(RAW),
    st.sampled_from(TELLING),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)


def ways(value: Any, here: Way = ()) -> Iterator[Way]:
    """The way to every part of a JSON value, itself included."""
    yield here
    parts = value.items() if isinstance(value, dict) else enumerate(value) if type(value) is list else ()
    for name, part in parts:
        yield from ways(part, (*here, name))


def at(value: Any, way: Way) -> Any:
    """The part that lies there."""
    for name in way:
        value = value[name]
    return value


def exchange(draw: Draw, event: Any, way: Way) -> Any:
    return _put(event, way, draw(values))


def transplant(draw: Draw, event: Any, way: Way) -> Any:
    other = draw(st.sampled_from(EXAMPLES))[1]
    return _put(event, way, deepcopy(at(other, draw(st.sampled_from(list(ways(other)))))))


def remove(_: Draw, event: Any, way: Way) -> Any:
    if way:
        del at(event, way[:-1])[way[-1]]
    return event


def rename(draw: Draw, event: Any, way: Way) -> Any:
    if way and isinstance(at(event, way[:-1]), dict):
        parent = at(event, way[:-1])
        parent[draw(st.sampled_from(NAMES))] = parent.pop(way[-1])
    return event


def repeat_name(draw: Draw, event: Any, way: Way) -> Any:
    if way and isinstance(at(event, way[:-1]), dict):
        at(event, way[:-1])[Twin(str(way[-1]), draw(st.integers(0, 9)))] = draw(values)
    return event


def repeat_part(draw: Draw, event: Any, way: Way) -> Any:
    return _put(event, way, [at(event, way)] * draw(st.sampled_from((1, 2, 50))))


def envelop(draw: Draw, event: Any) -> Any:
    """Put the whole event into an envelope that may hold it, or may not."""
    text = written(event)
    envelopes = (
        {"Type": "Notification", "Message": text},
        {"specversion": "1.0", "type": "t", "source": "s", "id": "1", "data": event},
        {"specversion": "1.0", "subject": "a/b", "data": text},
        {"specversion": "1.0", "data_base64": base64.b64encode(text.encode()).decode()},
        {"source": "aws.s3", "detail-type": "Object Created", "detail": event},
        {"Records": [event]},
        {"events": [event, event]},
    )
    return envelopes[draw(st.integers(0, len(envelopes) - 1))]


EDITS = (exchange, exchange, exchange, transplant, remove, rename, repeat_name, repeat_part)


def _put(event: Any, way: Way, part: Any) -> Any:
    if not way:
        return part
    at(event, way[:-1])[way[-1]] = part
    return event


def written(value: Any) -> str:
    """As JSON, or nearly."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        names = ((name.name if isinstance(name, Twin) else name, part) for name, part in value.items())
        return "{" + ",".join(f"{json.dumps(name)}:{written(part)}" for name, part in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def damaged(draw: Draw, data: bytes) -> bytes:
    """Bytes gone, changed, added, or written in another way."""
    at: int = draw(st.integers(0, len(data)))
    few: bytes = draw(st.binary(max_size=3))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return b"\xef\xbb\xbf" + data
    if kind == 2:
        return data + few + data
    if kind == 3:
        return b" " * 3_000 + data + b"\n\t "
    if kind == 4:
        return data.decode("utf-8", "replace").encode("utf-16")
    return data[:at] + few + data[at + kind - 5 :]


headers_seen = st.lists(
    st.tuples(
        st.sampled_from(
            [*(f"ce_{name}" for name in ("specversion", "id", "type", "subject")), "content-type", RECORDING, "other"]
        ),
        st.none()
        | st.binary(max_size=12)
        | st.sampled_from(
            [b"1.0", b"audio-in/a.wav", b"a/" + b"k" * 1_025, b"\xed\xa0\x80", b"application/json; x", b""]
        ),
    ),
    max_size=3,
)


VARIANTS = 4


@st.composite
def records(draw: Draw) -> tuple[Record, ...]:
    """`VARIANTS` records of one event, an example of a dialect after up to four edits.

    As it is, with other headers, in an envelope, and with damage to its bytes. Several, since to draw an event takes
    a hundred times as long as to read it.
    """
    headers, event = deepcopy(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        way = draw(st.sampled_from(list(ways(event))))
        event = draw(st.sampled_from(EDITS))(draw, event, way)
    value = written(event).encode()
    return (
        Record(value, headers),
        Record(value, draw(headers_seen)),
        Record(written(envelop(draw, event)).encode(), []),
        Record(damaged(draw, value), headers),
    )
