"""Where a client stands with its group and its partitions, from the statistics that it hands out every second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from consumer.kafka.records import Partition

SETTLED_MS = 5000
"""A member that the broker gives no partition (KIP-848) is told nothing. With a coordinator for so long, it is one."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Where a client stands with its group.

    Attributes:
        coordinator: the broker that coordinates the group can be reached.
        settled: the group has taken the client in, with partitions or without, and does not rebalance just now.
        lag: of each partition the client has, the records that are not committed; those of which it is known.
    """

    coordinator: bool
    settled: bool
    lag: Mapping[Partition, int] = field(default_factory=dict)


def membership_of(statistics: str | bytes) -> Membership:
    """Read a consumer's statistics.

    Args:
        statistics: JSON as ``stats_cb`` gets it.
    """
    told = orjson.loads(statistics)
    group = told.get("cgrp", {})
    coordinator = group.get("state") == "up"
    joining = group.get("join_state")
    settled = joining == "steady" or (joining == "init" and group.get("stateage", 0) >= SETTLED_MS)
    return Membership(coordinator, coordinator and settled, _lag(told.get("topics", {})))


def _lag(topics: Mapping[str, Any]) -> dict[Partition, int]:
    """What is left to commit. The client learns a partition's end by fetching, so not while it is paused."""
    lag: dict[Partition, int] = {}
    for topic, about in topics.items():
        for each in about["partitions"].values():
            if each["fetch_state"] != "active":  # it belongs to another member, or to nobody
                continue
            # Where nothing was ever committed, everything that is still kept is left to do.
            done = each["committed_offset"] if each["committed_offset"] >= 0 else each["lo_offset"]
            if done >= 0 and each["hi_offset"] >= 0:
                lag[topic, each["partition"]] = max(0, each["hi_offset"] - done)
    return lag
