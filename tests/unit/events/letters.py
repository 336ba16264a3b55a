"""Headers of a dead letter, for tests to which most of what these say is all the same."""

from __future__ import annotations

from typing import Any

from consumer.errors import ObjectMissing
from consumer.events.deadletter import dead_letter_headers
from consumer.events.headers import Headers


def letter_headers(original: Headers = (), **changes: Any) -> list[tuple[str, bytes | None]]:
    """What `dead_letter_headers` writes.

    Args:
        original: headers of the record that failed.
        changes: arguments that count in the test.
    """
    values: dict[str, Any] = {
        "topic": "audio-uploaded",
        "partition": 3,
        "offset": 41,
        "group": "tingxie",
        "delivery_count": 2,
        "error": ObjectMissing("audio-in/日.wav does not exist"),
        "recording_id": "audio-in/日.wav",
        "timestamp_ms": 1_795_000_000_000,
        **changes,
    }
    return dead_letter_headers(original, **values)
