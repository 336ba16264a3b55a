from __future__ import annotations

import pytest

from consumer.errors import UsageError
from consumer.kafka.sink import MAX_MESSAGE_BYTES, RECORD_BYTES, record_limit
from consumer.settings import KafkaSettings


@pytest.mark.parametrize(
    ("bound", "asked", "limit"),
    [
        (None, None, RECORD_BYTES),
        (None, 5_000, 5_000),
        (None, 5_000_000, 5_000_000),
        (None, 10 * MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES),
        (5_000_000, None, 5_000_000),
        ("20000", None, 20_000),
        (20_000, 5_000, 5_000),
        (20_000, 30_000, 20_000),
    ],
)
def test_the_limit_follows_what_the_client_may_send(bound: int | str | None, asked: int | None, limit: int) -> None:
    properties = {} if bound is None else {"message.max.bytes": bound}
    assert record_limit(KafkaSettings(properties=properties), asked) == limit


def test_a_bound_that_is_no_number_is_named() -> None:
    with pytest.raises(UsageError, match=r"kafka\.properties: message\.max\.bytes is '1 MB'"):
        record_limit(KafkaSettings(properties={"message.max.bytes": "1 MB"}), None)
