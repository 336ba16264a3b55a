from __future__ import annotations

import pytest

from consumer.operations.health import Health


@pytest.fixture
def health() -> Health:
    """Of a process that does its job."""
    health = Health()
    health.started()
    health.joined()
    return health


def test_a_process_that_starts_is_live_and_becomes_ready_when_the_group_has_it() -> None:
    health = Health()
    assert (health.starting, health.live(), health.ready()) == (True, None, "starting: the models are being loaded")
    health.started()
    assert (health.starting, health.ready()) == (False, "joining the consumer group")
    health.joined()
    assert (health.live(), health.ready()) == (None, None)


def test_a_group_out_of_reach_is_no_reason_to_restart(health: Health) -> None:
    health.unreachable("no broker")
    assert (health.live(), health.ready()) == (None, "no broker")
    health.unreachable(None)
    assert health.ready() == "joining the consumer group", "the group may have given its partitions away meanwhile"
    health.joined()
    assert health.ready() is None


def test_a_rebalance_does_not_cost_readiness(health: Health) -> None:
    health.unreachable(None)
    assert health.ready() is None


def test_a_stuck_thread_is_a_reason_to_restart_whatever_else_is_wrong(health: Health) -> None:
    health.stopping()
    health.unreachable("no broker")
    health.stuck("thread engine")
    assert (health.live(), health.ready()) == ("thread engine", "thread engine")
    health.stuck(None)
    assert health.live() is None


def test_whoever_blocks_the_intake_says_why(health: Health) -> None:
    health.blocked("too many dead letters")
    assert (health.live(), health.ready()) == (None, "too many dead letters")
    health.blocked(None)
    assert health.ready() is None


def test_a_process_that_drains_gets_no_more_and_is_not_killed(health: Health) -> None:
    health.stopping()
    assert (health.live(), health.ready()) == (None, "stopping: what is in work is being finished")
