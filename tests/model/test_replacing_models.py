"""Models replaced while the engine works: whatever goes wrong, those that serve stay."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from consumer.engine.api import EngineJob, EngineObserver
from consumer.engine.engine import Engine
from consumer.engine.load import Models
from consumer.engine.recogniser import Encoded, Recogniser
from consumer.engine.reference import Reference
from consumer.engine.samples import Samples
from consumer.errors import ModelUnavailable
from consumer.pipeline.reload import ModelReload
from consumer.settings import EngineSettings, Settings
from consumer.transcript.types import ModelInfo, Recognition, Track
from tests.altered import another_revision, broken

WAIT_S = 120.0

WriteTrack = Callable[..., Track]


class Serving(EngineObserver):
    """Keeps which models served, in order."""

    def __init__(self) -> None:
        self.models: list[ModelInfo] = []

    def serving(self, model: ModelInfo) -> None:
        self.models.append(model)


class Running:
    """An engine that is asked for one recording after the other."""

    def __init__(self, settings: EngineSettings) -> None:
        self.told = threading.Semaphore(0)
        self.serving = Serving()
        self.engine = Engine(settings, notify=self.told.release, observer=self.serving)
        self.engine.start()

    def outcome(self) -> Recognition:
        while not (outcomes := self.engine.collect()):
            assert self.told.acquire(timeout=WAIT_S), "no outcome in time"
        (outcome,) = outcomes
        assert isinstance(outcome.value, Recognition)
        return outcome.value

    def hear(self, track: Track) -> Recognition:
        assert self.engine.submit("one", EngineJob((track,)))
        return self.outcome()


@pytest.fixture
def running(engine_settings: EngineSettings) -> Iterator[Running]:
    running = Running(engine_settings)
    yield running
    running.engine.close(WAIT_S)


@pytest.fixture
def clip(recordings: dict[str, Samples], track: WriteTrack) -> Track:
    return track(min((samples for samples in recordings.values() if samples.any()), key=len))


@pytest.fixture
def newer(engine_settings: EngineSettings, tmp_path: Path) -> EngineSettings:
    return naming(engine_settings, another_revision(Path(engine_settings.model), tmp_path / "newer"))


def naming(settings: EngineSettings, model: Path) -> EngineSettings:
    return settings.model_copy(update={"model": str(model)})


def test_what_begins_after_a_replacement_is_heard_by_the_new_model(
    running: Running, newer: EngineSettings, clip: Track
) -> None:
    before = running.hear(clip)
    serving = running.engine.replace(newer)
    after = running.hear(clip)
    assert serving == running.engine.model == after.model
    assert (serving.name, after.spans) == ("newer", before.spans)
    assert before.model.revision != after.model.revision
    assert running.serving.models == [before.model, after.model]


def test_a_recording_is_heard_by_one_model_from_beginning_to_end(
    running: Running, newer: EngineSettings, clip: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = running.hear(clip)
    begun, gate, real = threading.Event(), threading.Event(), Recogniser.encode
    old = running.engine._works[0]._models.recogniser

    def held(recogniser: Recogniser, mels: Sequence[torch.Tensor]) -> Encoded:
        if recogniser is old:
            begun.set()
            assert gate.wait(WAIT_S)
        return real(recogniser, mels)

    monkeypatch.setattr(Recogniser, "encode", held)
    assert running.engine.submit("before", EngineJob((clip,)))
    assert begun.wait(WAIT_S)
    replacing = threading.Thread(target=running.engine.replace, args=(newer,))
    replacing.start()
    # The engine's thread is held: it takes the successor over after this batch, and the recording in it stays.
    gate.set()
    replacing.join(WAIT_S)
    assert running.outcome().model == first.model
    assert running.hear(clip).model.name == "newer"


def test_while_the_models_before_still_hear_no_others_come(
    running: Running, newer: EngineSettings, clip: Track
) -> None:
    running.hear(clip)
    running.engine._leaving = running.engine.model  # as while a long recording goes on
    with pytest.raises(ModelUnavailable, match="have not ended yet"):
        running.engine.replace(newer)
    assert running.hear(clip).model.name == "paraformer"


def test_the_same_models_are_not_loaded_again(running: Running, engine_settings: EngineSettings) -> None:
    works = running.engine._works
    assert running.engine.replace(engine_settings) == running.engine.model
    assert running.engine._works is works


def test_one_replacement_at_a_time(running: Running, newer: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, gate = threading.Event(), threading.Event()

    def held(*_: object) -> None:
        loading.set()
        assert gate.wait(WAIT_S)

    monkeypatch.setattr("consumer.engine.prepare.warm_up", held)
    first = threading.Thread(target=running.engine.replace, args=(newer,))
    first.start()
    assert loading.wait(WAIT_S)
    with pytest.raises(ModelUnavailable, match="being replaced already"):
        running.engine.replace(newer)
    gate.set()
    first.join(WAIT_S)
    assert running.engine.model is not None
    assert running.engine.model.name == "newer"


def test_a_broken_folder_is_refused_and_the_models_stay(
    running: Running, engine_settings: EngineSettings, clip: Track, tmp_path: Path
) -> None:
    before = running.hear(clip)
    with pytest.raises(ModelUnavailable, match=r"engine\.model: the model in .*torn.* does not load"):
        running.engine.replace(naming(engine_settings, broken(Path(engine_settings.model), tmp_path / "torn")))
    assert running.hear(clip) == before


def test_a_model_that_does_not_understand_the_reference_is_refused(
    running: Running, engine_settings: EngineSettings, clip: Track, tmp_path: Path
) -> None:
    before = running.hear(clip)
    deaf = another_revision(Path(engine_settings.model), tmp_path / "deaf", noise=0.5)
    with pytest.raises(ModelUnavailable, match=r"deaf@.*reference\.wav, where the models before it heard"):
        running.engine.replace(naming(engine_settings, deaf))
    assert running.hear(clip) == before


def test_a_model_that_memory_has_no_room_for_is_refused(
    running: Running, newer: EngineSettings, clip: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.engine.room.free_memory", lambda: 100 * 1024**2)
    with pytest.raises(ModelUnavailable, match=r"takes 0\.3 GiB, and 0\.1 GiB are free"):
        running.engine.replace(newer)
    assert running.hear(clip).model.name == "paraformer"


def test_whatever_else_goes_wrong_is_explained(
    running: Running, newer: EngineSettings, clip: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("consumer.engine.prepare.warm_up", fail)
    with pytest.raises(ModelUnavailable, match=r"OutOfMemoryError: CUDA out of memory"):
        running.engine.replace(newer)
    assert running.hear(clip).model.name == "paraformer"


def test_models_that_were_refused_leave_memory(
    running: Running, newer: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FunASR's modules refer to each other and to themselves: the last reference alone does not free them."""
    seen: list[weakref.ref[torch.nn.Module]] = []

    def refuse(_: Reference, models: Models, before: str) -> str:  # noqa: ARG001 - as it is called
        seen.append(weakref.ref(models.recogniser._model.encoder.encoders[0]))
        raise ModelUnavailable("it hears nothing")

    monkeypatch.setattr(Reference, "check", refuse)
    outcomes: list[str] = []
    reload = ModelReload(running.engine, newer, lambda: Settings(engine=newer), outcomes.append)
    gc.disable()
    try:
        reload.request()
        reload.close(WAIT_S)
        (layer,) = seen
        assert layer() is None
    finally:
        gc.enable()
    assert outcomes == ["refused"]


def test_an_engine_that_does_not_work_replaces_nothing(engine_settings: EngineSettings) -> None:
    with pytest.raises(ModelUnavailable, match="not at work"):
        Engine(engine_settings).replace(engine_settings)


def test_the_first_model_too_must_understand_what_the_settings_say_of_the_reference(
    engine_settings: EngineSettings,
) -> None:
    engine = Engine(engine_settings.model_copy(update={"reference_text": "我们明天去爬山"}))
    with pytest.raises(ModelUnavailable, match=r"where is said '我们明天去爬山'"):
        engine.start()
