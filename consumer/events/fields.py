"""Reading fields of foreign JSON, with errors that name the field and what was expected of it.

A message may quote a field's name, never its value: values can be large, and can hold what must not reach a log.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from consumer.errors import EventInvalid

Fields = Mapping[str, object]

MAX_BUCKET = 255
"""Characters; no storage allows longer bucket names (S3 and OSS: 63)."""

MAX_KEY = 1024
"""Characters; S3 and OSS allow at most that many bytes."""

MAX_SIZE = 2**50
"""Bytes, 1 PiB; the largest object of any storage read here is 50 TB."""

_SHOWN_PROBLEMS = 3
_SHOWN_NAME = 64


def shorten(name: object) -> str:
    """A field's name fit for a message, however long the event made it."""
    shown = str(name)
    return shown if len(shown) <= _SHOWN_NAME else shown[: _SHOWN_NAME - 1] + "…"


def kind(value: object) -> str:
    """What JSON calls the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for types, name in (((int, float), "a number"), (str, "a string"), (list, "a list"), (dict, "an object")):
        if isinstance(value, types):
            return name
    return type(value).__name__


def invalid(where: str, expected: str, value: object) -> EventInvalid:
    """The error for a field of the wrong type."""
    return EventInvalid(f"{where}: expected {expected}, got {kind(value)}")


def object_at(fields: Fields, name: str, where: str = "") -> Fields:
    """A field that must be a JSON object."""
    return as_object(fields.get(name), f"{where}{name}")


def as_object(value: object, where: str) -> Fields:
    """The value itself when it is a JSON object; raises `EventInvalid` otherwise."""
    if not isinstance(value, dict):
        raise invalid(where, "an object", value)
    return value


def list_at(fields: Fields, name: str, where: str = "") -> list[object]:
    """A field that must be a list with something in it."""
    value = fields.get(name)
    if not isinstance(value, list):
        raise invalid(f"{where}{name}", "a list", value)
    if not value:
        raise EventInvalid(f"{where}{name}: expected at least one entry, got none")
    return value


def text_at(fields: Fields, name: str, where: str = "") -> str:
    """A field that must be a string with something in it."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise invalid(f"{where}{name}", "a string", value)
    if not value:
        raise EventInvalid(f"{where}{name}: expected a string, got an empty one")
    return value


def optional_text_at(fields: Fields, name: str, where: str = "") -> str | None:
    """A string that may be missing, null, or (as some emitters write none) empty: then None."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid(f"{where}{name}", "a string", value)
    return value


def size_at(fields: Fields, name: str, where: str = "") -> int | None:
    """An object's size in bytes, None when the event has none; digits in a string count as a number."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_SIZE)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise EventInvalid(f"{where}{name}: expected a whole number of bytes, got {kind(value)}")
    if not 0 <= value <= MAX_SIZE:
        raise EventInvalid(f"{where}{name}: expected 0 to {MAX_SIZE} bytes, got a number outside")
    return value


def bucket_at(fields: Fields, name: str, where: str = "") -> str:
    """A bucket's name: any that a storage could have, so no slash and no control characters."""
    bucket = text_at(fields, name, where)
    if len(bucket) > MAX_BUCKET or "/" in bucket or any(ord(character) < 0x20 for character in bucket):
        raise EventInvalid(f"{where}{name}: expected a bucket name (1 to {MAX_BUCKET} characters, no slash)")
    return bucket


def check_key(key: str, where: str) -> str:
    """The key itself when a storage could hold it; raises `EventInvalid` otherwise."""
    if not 1 <= len(key) <= MAX_KEY:
        raise EventInvalid(f"{where}: expected an object key of 1 to {MAX_KEY} characters, got {len(key)}")
    return key


def bare_etag(etag: str | None) -> str | None:
    """An ETag without quotes and without the mark of a weak one; None for none or an empty one."""
    if etag is None:
        return None
    return etag.strip().removeprefix("W/").strip('"') or None


def from_pydantic(error: ValidationError, where: str = "") -> EventInvalid:
    """What a model found wrong, as one line: the first problems, without their values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = []
    for problem in problems[:_SHOWN_PROBLEMS]:
        path = ".".join(shorten(part) for part in problem["loc"])
        lines.append(f"{where}{path or 'event'}: {shorten_message(problem['msg'])}")
    if len(problems) > _SHOWN_PROBLEMS:
        lines.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
    return EventInvalid("; ".join(lines))


def shorten_message(message: str) -> str:
    """A validation message in this program's voice: lower case first, bounded."""
    return (message[:1].lower() + message[1:])[:200]
