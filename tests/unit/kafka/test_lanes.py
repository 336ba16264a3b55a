from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumer.kafka.lanes import Lanes


def test_one_at_a_time_in_order() -> None:
    lanes: Lanes[int] = Lanes()
    assert lanes.enter("a", 1)
    assert not lanes.enter("a", 2)
    assert not lanes.enter("a", 3)
    assert lanes.enter("b", 4)
    assert lanes.leave("a", 1) == 2
    assert lanes.leave("a", 2) == 3
    assert lanes.leave("a", 3) is None
    assert len(lanes) == 1


def test_leaving_out_of_turn_frees_nobody() -> None:
    lanes: Lanes[int] = Lanes()
    lanes.enter("a", 1)
    lanes.enter("a", 2)
    assert lanes.leave("a", 2) is None
    assert lanes.leave("a", 2) is None
    assert lanes.leave("nowhere", 1) is None
    assert lanes.leave("a", 1) is None
    assert len(lanes) == 0


def test_dropping_the_first_frees_the_first_that_stays() -> None:
    for order in ([("a", 1), ("a", 2)], [("a", 2), ("a", 1)]):
        lanes: Lanes[int] = Lanes()
        for ticket in (1, 2, 3):
            lanes.enter("a", ticket)
        assert lanes.drop(order) == [3]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 50)), max_size=60))
def test_each_lane_has_exactly_one_at_work_and_keeps_the_order(steps: list[tuple[str, bool, int]]) -> None:
    lanes: Lanes[int] = Lanes()
    at_work: dict[str, int] = {}
    queued: dict[str, list[int]] = {lane: [] for lane in "abc"}
    for number, (lane, enter, choice) in enumerate(steps):
        if enter:
            began = lanes.enter(lane, number)
            queued[lane].append(number)
            assert began == (lane not in at_work)
            if began:
                at_work[lane] = number
        elif queued[lane]:
            ticket = queued[lane].pop(choice % len(queued[lane]))
            following = lanes.leave(lane, ticket)
            if at_work[lane] == ticket:
                assert following == (queued[lane][0] if queued[lane] else None)
                del at_work[lane]
                if following is not None:
                    at_work[lane] = following
            else:
                assert following is None
