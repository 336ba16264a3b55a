"""Values of settings that are more than a number or a word: how they are written, checked, and shown."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer
from pydantic_settings import NoDecode

from consumer.redaction import MASK


def _split(value: object) -> object:
    """``a,b`` and ``["a", "b"]`` as the list they mean; what is no text is left to pydantic."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as ``500ms``, ``30s``, ``5m`` or ``1h``.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,6})(ms|s|m|h)", text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; give a number with ms, s, m or h, such as 30s")
    return int(match[1]) * _UNITS_MS[match[2]]


def _rising(delays: tuple[str, ...]) -> tuple[str, ...]:
    waits = [duration_ms(each) for each in delays]
    if any(later <= earlier for earlier, later in pairwise(waits)):
        raise ValueError("each delay must be longer than the one before it")
    return delays


def _without_user(url: str | None) -> str | None:
    """The URL itself; one that carries a password would show it in every message that names the storage."""
    if url is not None and "@" in url:
        raise ValueError("the URL holds a user or password; give storage.access_key_id and storage.secret_access_key")
    return url


def _collector(url: str) -> str:
    """The URL itself; one that carries a password would show it in the line that tells of a collector that is away."""
    if "@" in url:
        raise ValueError("the URL holds a user or password; give them as header in OTEL_EXPORTER_OTLP_HEADERS")
    scheme, _, rest = url.partition("://")
    if url and (scheme not in {"http", "https"} or not rest):
        raise ValueError(f"{url!r} is no URL of http or https, such as http://collector:4318")
    return url


SECRET = re.compile(r"password|secret|\.pem$|private\.key|oauthbearer\.config|jaas|token")
"""Names of librdkafka properties whose values must not be shown."""

Property = str | int | float | bool


class Properties(dict[str, Property]):
    """librdkafka properties; what is secret among them is masked wherever they are shown as a whole."""

    def shown(self) -> dict[str, Property]:
        """The properties with masks in place of secrets."""
        return {name: MASK if SECRET.search(name) else value for name, value in self.items()}

    def __repr__(self) -> str:
        return repr(self.shown())


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several names, with commas or as JSON."""

Delays = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_rising)]
"""Durations, each longer than the one before it."""

Url = Annotated[str | None, AfterValidator(_without_user)]
"""A URL that may be shown."""

CollectorUrl = Annotated[str, AfterValidator(_collector)]
"""A URL of HTTP that may be shown, or an empty text."""

ClientProperties = Annotated[dict[str, Property], AfterValidator(Properties), PlainSerializer(Properties.shown)]
"""What librdkafka is told."""
