"""Where a client stands with its group, from the statistics that it hands out every second."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

SETTLED_MS = 5000
"""A member that the broker gives no partition (KIP-848) is told nothing. With a coordinator for so long, it is one."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Where a client stands with its group.

    Attributes:
        coordinator: the broker that coordinates the group can be reached.
        settled: the group has taken the client in, with partitions or without, and does not rebalance just now.
    """

    coordinator: bool
    settled: bool


def membership_of(statistics: str | bytes) -> Membership:
    """Read a consumer's statistics.

    Args:
        statistics: JSON as ``stats_cb`` gets it.
    """
    group = orjson.loads(statistics).get("cgrp", {})
    coordinator = group.get("state") == "up"
    joining = group.get("join_state")
    settled = joining == "steady" or (joining == "init" and group.get("stateage", 0) >= SETTLED_MS)
    return Membership(coordinator, coordinator and settled)
