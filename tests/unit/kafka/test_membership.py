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


def partition(number: int, **changes: object) -> dict[str, object]:
    known = {"fetch_state": "active", "committed_offset": 3, "lo_offset": 0, "hi_offset": 10}
    return {"partition": number, **known, **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 7),
        ({"committed_offset": 10}, 0),
        ({"committed_offset": 12}, 0),  # the end it knows is older than the commit
        ({"committed_offset": -1001, "lo_offset": 4}, 6),
        ({"committed_offset": -1001, "lo_offset": -1001}, None),
        ({"hi_offset": -1001}, None),
        ({"fetch_state": "none"}, None),
    ],
)
def test_lag_is_what_is_not_committed_of_the_partitions_it_has(
    changes: dict[str, object], expected: int | None
) -> None:
    topic = {"topic": "uploads", "partitions": {"4": partition(4, **changes), "-1": partition(-1, fetch_state="none")}}
    lag = membership_of(json.dumps({"topics": {"uploads": topic}})).lag
    assert lag == ({} if expected is None else {("uploads", 4): expected})
