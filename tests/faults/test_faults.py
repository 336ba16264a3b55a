"""A short round of each family of faults. `make faults` has all of them, for as long as told."""

from __future__ import annotations

import pytest

from tests.faults.faults import FAULTS, left_out
from tests.faults.plan import Strike
from tests.faults.play import Play
from tests.faults.table import explanations, table

RATE = 4.0
TAIL_S = 1.0

FAMILIES = {
    "a consumer dies": ("consumer-kill", 1.0),
    "a consumer freezes": ("consumer-stop", 13.0),
    "members come and go": ("rebalance-storm", 8.0),
    "a leader dies": ("leader-kill", 6.0),
    "all brokers die": ("brokers-bounce", 1.0),
    "dead letters cannot be delivered": ("dead-letters-away", 8.0),
    "the brokers cannot be reached": ("network-cut", 8.0),
    "the storage fails": ("storage-503", 3.0),
    "the storage hangs up": ("storage-cut", 3.0),
    "the disk is full": ("spool-full", 4.0),
}


@pytest.mark.parametrize(
    "family", [family for family, (fault, _) in FAMILIES.items() if fault not in left_out(stage_is_ours=True)]
)
def test_every_promise_is_kept_when(family: str, play: Play) -> None:
    fault, lasts_s = FAMILIES[family]
    assert fault in FAULTS
    seed = sum(family.encode())
    findings = play.round(
        [Strike(1.5, lasts_s, fault, seed)], duration_s=1.5 + lasts_s + TAIL_S, seed=seed, rate=RATE, prefix=f"{fault}/"
    )
    assert not findings.violations, "\n".join([table({"short": findings}), *explanations(findings)])
    assert findings.counts["transcripts"] > 0
    assert findings.counts["dead letters"] > 0
