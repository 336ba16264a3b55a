from __future__ import annotations

import json

import pytest

from consumer.kafka.membership import SETTLED_MS, Membership, membership_of

OUT_OF_REACH = Membership(coordinator=False, settled=False)
JOINING = Membership(coordinator=True, settled=False)
MEMBER = Membership(coordinator=True, settled=True)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"state": "up", "join_state": "steady", "stateage": 10}, MEMBER),
        ({"state": "up", "join_state": "wait-join", "stateage": 60_000}, JOINING),
        ({"state": "up", "join_state": "init", "stateage": 10}, JOINING),
        ({"state": "up", "join_state": "init", "stateage": SETTLED_MS}, MEMBER),
        ({"state": "query-coord", "join_state": "steady", "stateage": 0}, OUT_OF_REACH),
        ({"state": "wait-coord", "join_state": "init", "stateage": 60_000}, OUT_OF_REACH),
        ({}, OUT_OF_REACH),
    ],
)
def test_statistics_tell_where_the_client_stands(group: dict[str, object], expected: Membership) -> None:
    statistics = {"name": "rdkafka#consumer-1", "brokers": {}, **({"cgrp": group} if group else {})}
    assert membership_of(json.dumps(statistics)) == expected
