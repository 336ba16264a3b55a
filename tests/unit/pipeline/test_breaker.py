from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from consumer.pipeline.breaker import Breaker, BreakerLimits
from consumer.pipeline.observer import Fate

FATES: tuple[Fate, ...] = get_args(Fate)
LIMITS = BreakerLimits(share=0.5, count=3, window_s=60.0, probe_s=10.0)


def tripped(now: float = 0.0) -> Breaker:
    breaker = Breaker(LIMITS)
    for tag in range(3):
        breaker.begun(tag)
    for tag in range(3):
        breaker.ended(tag, now, "dead letter")
    assert breaker.room(now) == 0
    return breaker


def test_transcripts_keep_it_closed() -> None:
    breaker = Breaker(LIMITS)
    for tag in range(100):
        breaker.ended(tag, float(tag), "transcript" if tag % 3 else "dead letter")
        assert breaker.room(float(tag)) is None
    assert breaker.reason is None


def test_a_few_dead_letters_keep_it_closed_whatever_their_share() -> None:
    breaker = Breaker(LIMITS)
    breaker.ended(0, 0.0, "dead letter")
    breaker.ended(1, 1.0, "dead letter")
    assert breaker.room(1.0) is None
    breaker.ended(2, 62.0, "dead letter")  # the first two are out of the window
    assert breaker.room(62.0) is None


def test_too_many_dead_letters_open_it_and_it_says_why() -> None:
    breaker = tripped()
    assert breaker.reason is not None
    assert "3 of the last 3" in breaker.reason
    assert "limits.dead_letter_share" in breaker.reason


def test_half_open_it_lets_one_in_at_a_time() -> None:
    breaker = tripped()
    assert breaker.room(9.9) == 0
    assert breaker.room(10.0) == 1
    breaker.begun("probe")
    assert breaker.room(11.0) == 0
    breaker.ended("late", 12.0, "transcript")
    assert breaker.room(12.0) == 0, "what began before it opened proves nothing"
    breaker.ended("probe", 13.0, "dead letter")
    assert breaker.room(22.9) == 0
    assert breaker.room(23.0) == 1


def test_a_transcript_closes_it() -> None:
    breaker = tripped()
    breaker.begun("probe")
    breaker.ended("probe", 11.0, "transcript")
    assert breaker.room(11.0) is None
    assert breaker.reason is None
    breaker.ended("next", 12.0, "dead letter")
    assert breaker.room(12.0) is None, "what was counted before is forgotten"


def test_a_probe_that_goes_to_another_member_makes_room_for_the_next() -> None:
    breaker = tripped()
    breaker.begun("probe")
    breaker.dropped("other")
    assert breaker.room(11.0) == 0
    breaker.dropped("probe")
    assert breaker.room(11.0) == 1


def test_a_person_can_close_it() -> None:
    breaker = tripped()
    breaker.close()
    assert breaker.room(0.0) is None


def test_a_probe_that_is_to_be_tried_again_opens_it_again() -> None:
    breaker = tripped()
    breaker.begun("probe")
    breaker.ended("probe", 11.0, "retry")
    assert breaker.room(20.9) == 0
    assert breaker.room(21.0) == 1


def test_an_outage_opens_it_although_each_dead_letter_was_tried_again_before() -> None:
    breaker = Breaker(LIMITS)
    for tag in range(LIMITS.count):
        assert breaker.room(0.0) is None
        for _ in range(2):
            breaker.ended(tag, 0.0, "retry")
        breaker.ended(tag, 0.0, "dead letter")
    assert breaker.room(0.0) == 0


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(FATES)), max_size=80))
def test_it_opens_exactly_when_the_window_says_so(ends: list[tuple[float, Fate]]) -> None:
    breaker, now = Breaker(LIMITS), 0.0
    seen: list[tuple[float, bool]] = []
    for tag, (pause, fate) in enumerate(ends):
        now += pause
        breaker.ended(tag, now, fate)
        if fate == "retry":
            assert breaker.room(now) is None
            continue
        seen.append((now, fate == "dead letter"))
        window = [dead for at, dead in seen if at >= now - LIMITS.window_s]
        wanted = sum(window) >= LIMITS.count and sum(window) > LIMITS.share * len(window)
        assert (breaker.room(now) == 0) == wanted
        if wanted:
            return
