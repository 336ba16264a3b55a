from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.batcher import CLIP_BATCH_MS, CLIP_MS, RECOVERY_S, AdaptiveBound, Batcher, Segment, about

lengths = st.integers(min_value=10, max_value=70_000)
recordings = st.lists(st.lists(lengths, min_size=1, max_size=12), min_size=1, max_size=8)


def segments_of(tag: str, durations: list[int]) -> list[Segment]:
    return [Segment(duration, tag, 0, index) for index, duration in enumerate(durations)]


def filled(all_lengths: list[list[int]], limit_ms: int = 60_000) -> Batcher:
    batcher = Batcher(limit_ms)
    for number, durations in enumerate(all_lengths):
        batcher.add(segments_of(str(number), durations))
    return batcher


def drain(batcher: Batcher) -> list[list[Segment]]:
    batches = []
    while batch := batcher.take():
        batches.append(batch)
    return batches


def test_nothing_waiting_gives_no_batch() -> None:
    assert Batcher(60_000).take() == []


@given(recordings, st.integers(min_value=1000, max_value=120_000))
def test_every_segment_comes_out_once(all_lengths: list[list[int]], limit_ms: int) -> None:
    batcher = filled(all_lengths, limit_ms)
    assert len(batcher) == sum(map(len, all_lengths))
    taken = Counter((s.recording, s.track, s.index, s.length_ms) for batch in drain(batcher) for s in batch)
    wanted = Counter(
        (str(number), 0, index, length)
        for number, durations in enumerate(all_lengths)
        for index, length in enumerate(durations)
    )
    assert taken == wanted
    assert len(batcher) == 0
    assert batcher.waiting_ms == 0


@given(recordings, st.integers(min_value=1000, max_value=120_000))
def test_padded_duration_never_exceeds_the_bound(all_lengths: list[list[int]], limit_ms: int) -> None:
    for batch in drain(filled(all_lengths, limit_ms)):
        assert len(batch) == 1 or batch[0].length_ms * len(batch) <= limit_ms


@given(recordings)
def test_segments_of_a_batch_are_close_in_length_and_longest_first(all_lengths: list[list[int]]) -> None:
    batcher = filled(all_lengths)
    while batcher._fresh:
        batcher.take()
    for batch in drain(batcher):
        lengths_ms = [s.length_ms for s in batch]
        assert lengths_ms == sorted(lengths_ms, reverse=True)
        assert any(least <= lengths_ms[-1] and lengths_ms[0] <= most for least, most in map(about, lengths_ms))


@given(recordings)
def test_the_oldest_of_a_recording_is_never_passed_over_for_long(all_lengths: list[list[int]]) -> None:
    batcher = filled(all_lengths)
    left = {str(number): list(range(len(durations))) for number, durations in enumerate(all_lengths)}
    turns = dict.fromkeys(left, 0)
    while batch := batcher.take():
        for tag, waiting in left.items():
            taken = [s.index for s in batch if s.recording == tag]
            turns[tag] = 0 if waiting and waiting[0] in taken else turns[tag] + 1
            left[tag] = [index for index in waiting if index not in taken]
            assert not left[tag] or turns[tag] <= 2 * len(all_lengths)


@given(recordings)
def test_segments_of_one_length_come_in_the_order_of_time(all_lengths: list[list[int]]) -> None:
    batcher = filled([[5000] * len(durations) for durations in all_lengths], limit_ms=20_000)
    came: dict[object, list[int]] = {}
    for batch in drain(batcher):
        for segment in batch:
            came.setdefault(segment.recording, []).append(segment.index)
    assert all(indices == sorted(indices) for indices in came.values())


@given(recordings)
def test_nobody_waits_longer_than_two_turns_of_all(all_lengths: list[list[int]]) -> None:
    batcher = filled(all_lengths)
    left = {str(number): len(durations) for number, durations in enumerate(all_lengths)}
    waited = dict.fromkeys(left, 0)
    while batch := batcher.take():
        served = {s.recording for s in batch}
        for segment in batch:
            left[str(segment.recording)] -= 1
        for tag, count in left.items():
            waited[tag] = 0 if tag in served or not count else waited[tag] + 1
            assert waited[tag] <= 2 * len(all_lengths)


@given(st.integers(min_value=1, max_value=5), lengths)
def test_a_newcomer_waits_for_one_batch_at_most(batches_before: int, length: int) -> None:
    batcher = filled([[30_000] * 200])
    for _ in range(batches_before):
        assert batcher.take()
    batcher.add(segments_of("clip", [length]))
    following = [s.recording for batch in (batcher.take(), batcher.take()) for s in batch]
    assert "clip" in following


def test_a_stream_of_newcomers_does_not_starve_a_long_recording() -> None:
    batcher = filled([[30_000] * 20])
    served = 0
    for number in range(40):
        batcher.add(segments_of(f"clip {number}", [1000]))
        served += sum(s.recording == "0" for s in batcher.take())
    assert served == 20


def test_a_share_does_not_grow_with_the_length_of_the_recording() -> None:
    batcher = filled([[5000] * 100, [5000] * 6], limit_ms=20_000)
    first = Counter(s.recording for s in batcher.take())
    assert first == {"0": 2, "1": 2}


def test_a_recording_that_comes_back_is_not_new_again() -> None:
    batcher = filled([[5000], [5000] * 3], limit_ms=5000)
    assert batcher.take()[0].recording == "0"
    batcher.add(segments_of("0", [5000, 5000]))
    assert [batcher.take()[0].recording for _ in range(3)] == ["0", "1", "0"]


@given(recordings)
def test_a_discarded_recording_is_gone(all_lengths: list[list[int]]) -> None:
    batcher = filled(all_lengths)
    batcher.take()
    batcher.discard("0")
    batcher.discard("never heard of")
    assert all(s.recording != "0" for batch in drain(batcher) for s in batch)
    assert batcher.waiting_ms == 0


def test_a_batch_is_due_when_it_is_full_or_somebody_has_waited_long_enough() -> None:
    batcher = Batcher(20_000, patience_s=0.5)
    assert batcher.due(now=7.0) == math.inf
    batcher.add(segments_of("0", [5000]), now=7.0)
    batcher.add(segments_of("1", [5000]), now=7.3)
    assert batcher.due(now=7.4) == 7.5
    batcher.add(segments_of("2", [10_000]), now=7.4)
    assert batcher.due(now=7.4) <= 7.4


def test_who_was_left_behind_has_waited_since_it_came() -> None:
    batcher = Batcher(5000, patience_s=0.5)
    batcher.add(segments_of("0", [4000, 4000]), now=1.0)
    assert len(batcher.take(now=2.0)) == 1
    assert batcher.due(now=2.0) == 1.5


def test_a_bound_that_was_too_much_is_halved_and_comes_back() -> None:
    bound = AdaptiveBound(60_000)
    bound.exceeded(58_000, now=10.0)
    assert bound.at(11.0) == 29_000
    bound.exceeded(28_000, now=12.0)
    assert bound.at(12.0 + RECOVERY_S - 1) == 14_000
    assert bound.at(12.0 + RECOVERY_S) == 28_000
    assert bound.at(12.0 + 2 * RECOVERY_S) == 56_000
    assert bound.at(12.0 + 3 * RECOVERY_S) == 60_000


@given(recordings, st.integers(min_value=1, max_value=60_000))
def test_a_lowered_bound_holds_for_the_batches_after_it(all_lengths: list[list[int]], cost_ms: int) -> None:
    batcher = filled(all_lengths)
    batcher.bound.exceeded(cost_ms, now=0.0)
    for batch in drain(batcher):
        assert len(batch) == 1 or batch[0].length_ms * len(batch) <= cost_ms // 2


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 10**6)), max_size=20), st.integers(1, 10**6))
def test_a_bound_never_exceeds_what_was_set_and_always_recovers(faults: list[tuple[float, int]], most_ms: int) -> None:
    bound, now = AdaptiveBound(most_ms), 0.0
    for pause, cost_ms in faults:
        now += pause
        bound.exceeded(cost_ms, now)
        assert 1 <= bound.at(now) <= most_ms
    assert bound.at(now + 21 * RECOVERY_S) == most_ms


@given(st.lists(st.integers(10, CLIP_MS), min_size=1, max_size=8))
def test_a_short_clip_is_in_the_next_batch_as_a_whole_and_that_batch_is_short(clip: list[int]) -> None:
    batcher = filled([[5000] * 100])
    batcher.take()
    batcher.take()
    batcher.add(segments_of("clip", clip))
    batch = batcher.take()
    of_clip = [segment.length_ms for segment in batch if segment.recording == "clip"]
    if sum(clip) <= CLIP_MS and max(clip) * len(clip) <= 60_000:
        assert sorted(of_clip) == sorted(clip)
        assert len(batch) * batch[0].length_ms <= max(CLIP_BATCH_MS, max(clip) * len(clip))
    else:
        assert of_clip


def test_a_long_newcomer_gets_a_full_batch() -> None:
    batcher = filled([[5000] * 100])
    batcher.take()
    batcher.take()
    batcher.add(segments_of("long", [5000] * 3))
    assert Counter(segment.recording for segment in batcher.take()) == {"0": 9, "long": 3}
