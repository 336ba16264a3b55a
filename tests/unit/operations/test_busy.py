from __future__ import annotations

import pytest

from consumer.operations.busy import BusyShare


def share_of(*changes: tuple[bool, float], now: float) -> float:
    busy = BusyShare(window_s=60)
    for change, at in changes:
        busy.told(change, at)
    return busy.share(now)


def test_who_never_worked_is_idle() -> None:
    assert share_of(now=1000) == 0


@pytest.mark.parametrize(("now", "expected"), [(100, 0.5), (115, 0.25), (130, 0)])
def test_what_lies_further_back_counts_no_more(now: float, expected: float) -> None:
    assert share_of((True, 40), (False, 70), now=now) == expected


def test_a_spell_that_goes_on_counts() -> None:
    assert share_of((True, 85), now=100) == 0.25
    assert share_of((True, 85), now=1000) == 1


def test_to_be_told_again_changes_nothing() -> None:
    assert share_of((True, 70), (True, 80), (False, 85), (False, 90), now=100) == 0.25


def test_what_is_forgotten_takes_no_memory() -> None:
    busy = BusyShare(window_s=60)
    for second in range(0, 1000, 2):
        busy.told(True, second)
        busy.told(False, second + 1)
    assert len(busy._spells) <= 31
    assert busy.share(1000) == 0.5
