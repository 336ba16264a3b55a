from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from consumer.engine.api import EngineJob, EngineObserver
from consumer.engine.device import memory
from consumer.engine.engine import CAPACITY, Engine
from consumer.engine.load import Models
from consumer.engine.recogniser import FEATURE_FRAMES, Decoding, Encoded, Recogniser
from consumer.engine.samples import FRAME_MS, Samples
from consumer.engine.vad import CUT_FRAMES, Speech, SpeechStream
from consumer.engine.work import Work
from consumer.errors import DeviceMemoryExhausted, ModelUnavailable, StageDied
from consumer.settings import EngineSettings
from consumer.stage import Outcome
from consumer.transcript.types import SAMPLE_RATE, Recognition, Track

WriteTrack = Callable[..., Track]
SILENCE = np.zeros(3 * SAMPLE_RATE, dtype=np.int16)


class Collector:
    """Waits for outcomes without polling: the engine says when there is one."""

    def __init__(self, settings: EngineSettings, observer: EngineObserver | None = None) -> None:
        self._told = threading.Semaphore(0)
        self.engine = Engine(settings, notify=self._told.release, observer=observer)

    def collect(self, count: int) -> dict[Hashable, Outcome[Recognition]]:
        outcomes: list[Outcome[Recognition]] = []
        while len(outcomes) < count:
            outcomes += self.engine.collect()
            if len(outcomes) < count:
                assert self._told.acquire(timeout=120), "no outcome in two minutes"
        assert len(outcomes) == count
        return {outcome.tag: outcome for outcome in outcomes}

    def recognise(self, job: EngineJob) -> Recognition:
        assert self.engine.submit("one", job)
        return recognition_of(self.collect(1)["one"])


@pytest.fixture(scope="module")
def running(engine_settings: EngineSettings) -> Iterator[Collector]:
    collector = Collector(engine_settings)
    collector.engine.start()
    yield collector
    collector.engine.close(60)


def recognition_of(outcome: Outcome[Recognition]) -> Recognition:
    assert isinstance(outcome.value, Recognition)
    return outcome.value


def heard(recognition: Recognition) -> list[tuple[str, int, int, str]]:
    return [(w.text, w.start_ms, w.end_ms, w.mark) for span in recognition.spans for w in span.words]


def test_many_recordings_at_once_each_get_their_own_words(
    running: Collector, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    jobs = {name: EngineJob((track(samples),)) for name, samples in recordings.items()}
    expected = {name: running.recognise(job) for name, job in jobs.items()}
    assert any(heard(recognition) for recognition in expected.values())
    copies = {(name, copy): job for copy in range(3) for name, job in jobs.items()}
    for tag, job in copies.items():
        assert running.engine.submit(tag, job)
    outcomes = running.collect(len(copies))
    for name, copy in copies:
        assert heard(recognition_of(outcomes[name, copy])) == heard(expected[name])
        assert outcomes[name, copy].elapsed_ms > 0


def test_it_tells_which_recordings_its_batch_is_of(
    running: Collector, recordings: dict[str, Samples], track: WriteTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, real = threading.Event(), threading.Event(), Recogniser.encode

    def held(recogniser: Recogniser, mels: Sequence[torch.Tensor]) -> Encoded:
        begun.set()
        gate.wait(60)
        return real(recogniser, mels)

    monkeypatch.setattr(Recogniser, "encode", held)
    assert running.engine.submit("clip", EngineJob((track(clips_of(recordings)[0]),)))
    assert begun.wait(60)
    (doing,) = running.engine.doing()
    gate.set()
    assert (doing.thread, doing.tags) == ("engine", ("clip",))
    assert (doing.deadline.setting, doing.deadline.seconds) == ("engine.stall_seconds", 300)
    running.collect(1)
    assert running.engine.submit("silence", EngineJob((track(SILENCE),)))
    running.collect(1)
    until(lambda: running.engine.doing() == [])


def until(idle: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not idle():
        assert time.monotonic() < deadline


class Told(EngineObserver):
    """Keeps what it was told, in order."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.idle = threading.Event()

    def busy(self, busy: bool) -> None:
        self.events.append(busy)
        if not busy:
            self.idle.set()

    def batch(self, lengths_ms: Sequence[int]) -> None:
        self.events.append(sum(lengths_ms))

    def memory(self, usage: Mapping[str, int]) -> None:
        raise AssertionError("the tests' device is the CPU")


def test_an_observer_is_told_of_work_and_batches(
    engine_settings: EngineSettings, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    told = Told()
    collector = Collector(engine_settings, told)
    collector.engine.start()
    try:
        assert told.idle.wait(60)
        told.idle.clear()
        spans = collector.recognise(EngineJob((track(clips_of(recordings)[0]),))).spans
        assert told.idle.wait(60)
    finally:
        collector.engine.close(60)
    batches = [each for each in told.events if not isinstance(each, bool)]
    assert (told.events[0], told.events[-1]) == (False, False)
    assert told.events[told.events.index(batches[0]) - 1] is True
    assert batches == [sum(span.end_ms - span.start_ms for span in spans)]


def test_loading_has_a_deadline_of_its_own(engine_settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate = threading.Event(), threading.Event()

    def held(_: EngineSettings) -> Models:
        begun.set()
        gate.wait(60)
        raise ModelUnavailable("none")

    monkeypatch.setattr("consumer.engine.load.load_models", held)
    engine = Engine(engine_settings)
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(engine.start)
        assert begun.wait(60)
        (doing,) = engine.doing()
        gate.set()
    assert isinstance(started.exception(), ModelUnavailable)
    assert (doing.what, doing.deadline.setting) == ("loading the models", "engine.load_seconds")
    assert engine.doing() == []


def test_words_lie_in_their_spans_and_end_in_a_mark(
    running: Collector, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    for samples in recordings.values():
        spans = running.recognise(EngineJob((track(samples),))).spans
        assert spans
        assert [span.start_ms for span in spans] == sorted(span.start_ms for span in spans)
        for span in spans:
            edges = [edge for word in span.words for edge in (word.start_ms, word.end_ms)]
            assert edges == sorted(edges)
            assert span.start_ms <= edges[0]
            assert edges[-1] <= span.end_ms <= len(samples) // 16
        assert spans[-1].words[-1].mark in {"。", "？"}


@pytest.mark.parametrize("length", [0, 1, 160, 16000, 3 * SAMPLE_RATE])
def test_silence_of_any_length_has_no_spans(running: Collector, track: WriteTrack, length: int) -> None:
    silence = np.zeros(length, dtype=np.int16)
    assert running.recognise(EngineJob((track(silence),))).spans == ()


def test_channels_are_recognised_each_by_itself(
    running: Collector, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    left, right = list(recordings.values())[:2]
    both = running.recognise(EngineJob((track(left, 0), track(SILENCE, 1), track(right, 2))))
    assert [span.channel for span in both.spans] == sorted(span.channel for span in both.spans)
    for channel, samples in ((0, left), (2, right)):
        alone = running.recognise(EngineJob((track(samples),)))
        of_channel = tuple(replace(span, channel=0) for span in both.spans if span.channel == channel)
        assert heard(replace(both, spans=of_channel)) == heard(alone)


@pytest.mark.parametrize(
    ("language", "hotwords", "named"),
    [("zh", (), []), ("en-US", (), []), ("fr", (), ["'fr'"]), ("zh-CN", ("听写",), ["hotwords"])],
)
def test_what_cannot_be_honoured_is_said(
    running: Collector, track: WriteTrack, language: str, hotwords: tuple[str, ...], named: list[str]
) -> None:
    warnings = running.recognise(EngineJob((track(SILENCE),), language, hotwords)).warnings
    assert len(warnings) == len(named)
    assert all(name in warning for name, warning in zip(named, warnings, strict=True))


def test_a_clip_does_not_wait_for_a_long_recording(
    running: Collector, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    clip = min(recordings.values(), key=len)
    long = np.concatenate([np.concatenate([samples, SILENCE]) for samples in list(recordings.values()) * 40])
    assert running.engine.submit("long", EngineJob((track(long[: 1200 * SAMPLE_RATE]),)))
    assert running.engine.submit("clip", EngineJob((track(clip),)))
    assert list(running.collect(1)) == ["clip"]
    running.engine.cancel("long")
    assert running.recognise(EngineJob((track(clip),))).spans


def test_a_cancelled_recording_is_forgotten(
    running: Collector, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    jobs = {name: EngineJob((track(samples),)) for name, samples in recordings.items()}
    for name, job in jobs.items():
        assert running.engine.submit(("unwanted", name), job)
    for name in jobs:
        running.engine.cancel(("unwanted", name))
    running.engine.cancel("never heard of")
    assert running.engine.submit("wanted", EngineJob((track(SILENCE),)))
    outcomes: set[Hashable] = set()
    while "wanted" not in outcomes:
        outcomes |= set(running.collect(1))
    assert running.engine.submit("later", EngineJob((track(SILENCE),)))
    assert "later" in running.collect(1)
    assert running.engine._inside == 0


def test_an_engine_that_is_full_takes_no_more(
    running: Collector, track: WriteTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.engine, "_inside", CAPACITY)
    assert not running.engine.submit("one too many", EngineJob((track(SILENCE),)))


def test_the_model_is_known_after_the_start(running: Collector) -> None:
    assert running.engine.model is not None
    assert running.engine.model.name == "paraformer"


def test_an_engine_that_was_not_started_or_was_closed_takes_nothing(
    engine_settings: EngineSettings, track: WriteTrack
) -> None:
    job = EngineJob((track(SILENCE),))
    engine = Engine(engine_settings)
    assert not engine.submit("early", job)
    engine.close(1)
    engine = Engine(engine_settings)
    engine.start()
    engine.close(60)
    assert not engine.submit("late", job)
    assert engine.collect() == []
    assert engine._thread is not None
    assert not engine._thread.is_alive()


def test_closing_does_not_wait_for_a_long_recording(
    engine_settings: EngineSettings, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    engine = Engine(engine_settings)
    engine.start()
    long = np.concatenate(list(recordings.values()) * 30)
    assert engine.submit("long", EngineJob((track(long),)))
    engine.close(60)
    assert engine._thread is not None
    assert not engine._thread.is_alive()
    assert engine.collect() == []


def test_the_death_of_the_thread_is_reported_with_its_cause(
    engine_settings: EngineSettings, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    collector = Collector(engine_settings)
    collector.engine.start()
    good = EngineJob((track(SILENCE),))
    assert collector.engine.submit("good", good)
    collector.collect(1)
    lost = track(next(iter(recordings.values())))
    lost.path.unlink()  # a spool file that vanishes is a fault of this program
    assert collector.engine.submit("calls/lost.wav", EngineJob((lost,)))
    with pytest.raises(StageDied, match=r"FileNotFoundError.*calls/lost\.wav") as death:
        collector.collect(1)
    assert isinstance(death.value.__cause__, FileNotFoundError)
    assert not collector.engine.submit("after", good)
    with pytest.raises(StageDied):
        collector.engine.collect()
    collector.engine.close(10)


def test_a_model_that_does_not_load_fails_the_start(engine_settings: EngineSettings, tmp_path: Path) -> None:
    engine = Engine(engine_settings.model_copy(update={"vad": str(tmp_path)}))
    with pytest.raises(ModelUnavailable, match=r"engine\.vad.*TINGXIE_ENGINE__VAD"):
        engine.start()
    engine.close(10)


class SmallDevice(Recogniser):
    """The real recogniser on a device that has room for so much padded audio only."""

    room_seconds: float
    fails_late: bool

    def encode(self, segments: Sequence[torch.Tensor]) -> Encoded:
        if not self.fails_late:
            self._need((max(map(len, segments)) + CUT_FRAMES) * FRAME_MS * len(segments))
        return super().encode(segments)

    def decode(self, encoded: Encoded) -> Decoding:
        if self.fails_late:
            self._need(int(encoded.lengths.max()) * FEATURE_FRAMES * FRAME_MS * len(encoded.lengths))
        return super().decode(encoded)

    def _need(self, padded_ms: int) -> None:
        if padded_ms > self.room_seconds * 1000:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def on_a_small_device(models: Models, room_seconds: float, *, fails_late: bool = False) -> Models:
    small = SmallDevice.__new__(SmallDevice)
    small.__dict__.update(models.recogniser.__dict__)
    small.room_seconds, small.fails_late = room_seconds, fails_late
    return replace(models, recogniser=small)


def finish(work: Work) -> dict[Hashable, Outcome[Recognition]]:
    outcomes: dict[Hashable, Outcome[Recognition]] = {}
    while work:
        outcomes |= {outcome.tag: outcome for outcome in work.round()}
    return outcomes


def clips_of(recordings: dict[str, Samples]) -> list[Samples]:
    return [samples[: 5 * SAMPLE_RATE] for samples in recordings.values()]


def all_heard(work: Work, clips: Sequence[Samples], track: WriteTrack) -> dict[Hashable, object]:
    for number, samples in enumerate(clips):
        work.begin(number, EngineJob((track(samples),)))
    return {tag: heard(recognition_of(outcome)) for tag, outcome in finish(work).items()}


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("fails_late", [False, True])
def test_a_batch_too_large_for_the_device_is_halved(
    models: Models, recordings: dict[str, Samples], track: WriteTrack, *, fails_late: bool, overlap: bool
) -> None:
    clips = clips_of(recordings)
    small = on_a_small_device(models, 6, fails_late=fails_late)
    work = Work(small, batch_seconds=60, overlap=overlap)
    assert all_heard(work, clips, track) == all_heard(Work(models, batch_seconds=60), clips, track)
    assert work._batcher.bound.at(time.monotonic()) <= 12_000  # and the batches after it were not tried so large


def test_batches_that_overlap_give_the_same_words(
    models: Models, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    clips = clips_of(recordings)
    one_by_one = all_heard(Work(models, batch_seconds=12), clips, track)
    assert all_heard(Work(models, batch_seconds=12, overlap=True), clips, track) == one_by_one


def test_a_recording_dropped_while_its_batch_is_in_work_disturbs_nobody(
    models: Models, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    work = Work(models, batch_seconds=60, overlap=True)
    first, second, *_ = clips_of(recordings)
    work.begin("dropped", EngineJob((track(first),)))
    work.begin("kept", EngineJob((track(second),)))
    while not work._line:
        assert work.round() == []
    assert work.drop("dropped")
    assert [outcome.tag for outcome in finish(work).values()] == ["kept"]


def test_speech_waits_for_company_no_longer_than_it_may(
    models: Models, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    now = 100.0
    work = Work(models, batch_seconds=600, patience_s=0.5, clock=lambda: now)
    assert work.idle_s() == math.inf
    work.begin("clip", EngineJob((track(clips_of(recordings)[0]),)))
    assert work.idle_s() == 0
    assert work.round() == []
    assert work.idle_s() == 0.5
    assert work.round() == []
    now += 0.5
    assert work.idle_s() == 0
    assert [outcome.tag for outcome in work.round()] == ["clip"]


def test_a_segment_too_large_for_the_device_costs_its_own_recording_only(
    models: Models, recordings: dict[str, Samples], track: WriteTrack
) -> None:
    samples = next(iter(recordings.values()))
    spans = models.detector.detect(samples)
    longest_s = max(span.end_ms - span.start_ms for span in spans) / 1000
    work = Work(on_a_small_device(models, longest_s - 0.1), batch_seconds=60)
    work.begin("large", EngineJob((track(samples),)))
    work.begin("silent", EngineJob((track(SILENCE),)))
    outcomes = finish(work)
    error = outcomes["large"].value
    assert isinstance(error, DeviceMemoryExhausted)
    assert error.retryable
    assert f"{longest_s:.1f} s" in str(error)
    assert recognition_of(outcomes["silent"]).spans == ()


def test_a_recording_is_memory_mapped(track: WriteTrack, models: Models) -> None:
    work = Work(models, batch_seconds=60)
    work.begin("one", EngineJob((track(SILENCE),)))
    assert isinstance(work._recordings["one"].tracks[0].speech._samples, np.memmap)


def listening_calls(work: Work, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects how many recordings each call of the detector hears together."""
    detector, calls = work._models.detector, list[int]()
    real = detector.advance

    def counted(streams: Sequence[SpeechStream]) -> list[list[Speech]]:
        calls.append(len(streams))
        return real(streams)

    monkeypatch.setattr(detector, "advance", counted)
    return calls


def test_new_recordings_are_heard_together(models: Models, track: WriteTrack, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(models, batch_seconds=60)
    calls = listening_calls(work, monkeypatch)
    for number in range(12):
        work.begin(number, EngineJob((track(SILENCE), track(SILENCE[: 16000 * (number % 2)]))))
    finish(work)
    assert calls == [12, 6]  # first tracks, then second ones; six of those are empty


def test_new_recordings_wait_when_more_speech_waits_than_may(
    models: Models, recordings: dict[str, Samples], track: WriteTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.engine.work.WAITING_MS", 1)
    monkeypatch.setattr("consumer.engine.work.AHEAD", 1)
    work = Work(models, batch_seconds=10)
    clip = track(max(recordings.values(), key=len)[: 20 * SAMPLE_RATE])
    for number in range(6):
        work.begin(number, EngineJob((clip,)))
    work.round()
    assert len(work._new) > 2
    assert all(heard(recognition_of(outcome)) for outcome in finish(work).values())


def test_a_device_without_room_to_listen_costs_those_that_were_heard(
    models: Models, track: WriteTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(_: Sequence[SpeechStream]) -> list[list[Speech]]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    work = Work(models, batch_seconds=60)
    with monkeypatch.context() as patch:
        patch.setattr(models.detector, "advance", no_room)
        work.begin("large", EngineJob((track(SILENCE),)))
        (outcome,) = work.round()
    assert isinstance(outcome.value, DeviceMemoryExhausted)
    assert "CUDA out of memory" in str(outcome.value)
    work.begin("later", EngineJob((track(SILENCE),)))
    assert recognition_of(finish(work)["later"]).spans == ()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_memory_of_a_gpu_is_that_of_this_process_and_of_all() -> None:
    device = torch.device("cuda:0")
    before = memory(device)
    held = torch.zeros(2**28, dtype=torch.uint8, device=device)
    after = memory(device)
    assert after["reserved"] >= before["reserved"] + held.numel()
    assert after["reserved"] <= after["used"] <= after["total"]
