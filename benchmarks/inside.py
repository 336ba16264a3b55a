"""The only module of the benchmarks that knows what is inside the engine; adapt it when the engine changes.

Nothing is changed in how the engine works: functions are replaced by ones that also look at the clock.
"""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

ENCODE = "consumer.engine.recogniser:Recogniser.encode"
"""Begins with a batch; its first argument is the batch's segments, each with a length."""

WORDS = "consumer.engine.recogniser:Recogniser.words"
"""Ends with a batch; its second argument is the lengths of the batch's segments."""

STAGES = {
    "recogniser_forward": (ENCODE, "consumer.engine.recogniser:Recogniser.decode"),
    "features": ("consumer.engine.fbank:Fbank.__call__", "consumer.engine.features:Features.__call__"),
    "fsmn": ("consumer.engine.fsmn:Fsmn.__call__",),
    "vad_state_machine": ("consumer.engine.endpoint:EndpointDetector.hear", "consumer.engine.endpoint:decibels"),
    "words": (WORDS,),
    "punctuation": (
        "consumer.engine.punctuation:Punctuator.advance",
        "consumer.engine.punctuation:Punctuator.begin",
        "consumer.engine.punctuation:apply_marks",
    ),
    "batching": ("consumer.engine.batcher:Batcher.take", "consumer.engine.batcher:Batcher.add"),
    "fetch": ("consumer.storage.objects:ObjectFetcher.fetch",),
    "assembly": ("consumer.pipeline.flow:assemble", "consumer.pipeline.outgoing:Outgoing.record"),
    "kafka": (
        "consumer.kafka.source:Source.poll",
        "consumer.kafka.source:Source.commit",
        "consumer.kafka.sink:Sink.produce",
        "consumer.kafka.sink:Sink.deliveries",
    ),
}
"""Stage to the functions whose time it is, less that of other stages within them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that the recogniser worked on.

    Attributes:
        began, ended: monotonic seconds.
        lengths: of its segments, in any unit.
    """

    began: float
    ended: float
    lengths: tuple[int, ...]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@contextmanager
def watched_batches() -> Iterator[list[Batch]]:
    """What the recognisers of this process are given meanwhile, oldest first."""
    batches: list[Batch] = []
    begun: list[tuple[float, tuple[int, ...]]] = []

    def watch_begin(encode: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(encode)
        def watched(recogniser: Any, segments: Sequence[Any]) -> Any:
            begun.append((time.monotonic(), tuple(map(len, segments))))
            return encode(recogniser, segments)

        return watched

    def watch_end(words: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(words)
        def watched(recogniser: Any, decoding: Any, frames: Sequence[int], starts_ms: Sequence[int]) -> Any:
            found = words(recogniser, decoding, frames, starts_ms)
            # A batch that the device had no room for never ends, so the oldest may be another one.
            (this,) = [each for each in begun if each[1] == tuple(frames)][:1]
            begun.remove(this)
            batches.append(Batch(this[0], time.monotonic(), this[1]))
            return found

        return watched

    with _replaced(ENCODE, watch_begin), _replaced(WORDS, watch_end):
        yield batches


@dataclass(slots=True)
class StageClock:
    """CPU seconds of the threads that ran each stage, less those of stages within it.

    Attributes:
        seconds: by stage.
        missing: functions of `STAGES` that are not there any more; their time is in ``rest``.
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    missing: list[str] = field(default_factory=list)
    _open: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def reset(self) -> None:
        """Forget all so far: what models cost to warm up is no recording's."""
        self.seconds.clear()

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time noted."""

        @functools.wraps(function)
        def timed(*args: Any, **more: Any) -> Any:
            within = self._open[threading.get_ident()]
            within.append(0.0)
            began = time.thread_time()
            try:
                return function(*args, **more)
            finally:
                seconds = time.thread_time() - began
                self.seconds[stage] += seconds - within.pop()
                if within:
                    within[-1] += seconds

        return timed


@contextmanager
def timed_stages() -> Iterator[StageClock]:
    """Note the CPU time of every stage that runs in this process meanwhile; exact where models have one thread."""
    clock = StageClock()
    with ExitStack() as stack:
        for stage, targets in STAGES.items():
            for target in targets:
                if _exists(target):
                    stack.enter_context(_replaced(target, functools.partial(clock.wrap, stage)))
                else:
                    clock.missing.append(target)
        yield clock


@contextmanager
def _replaced(target: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Replace ``module:name`` or ``module:Class.name`` by what ``wrap`` makes of it."""
    owner, attribute = _find(target)
    with mock.patch.object(owner, attribute, wrap(getattr(owner, attribute))):
        yield


def _find(target: str) -> tuple[Any, str]:
    """The module or class, and the name in it."""
    module, _, name = target.partition(":")
    *owners, attribute = name.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), attribute


def _exists(target: str) -> bool:
    try:
        owner, attribute = _find(target)
    except (ImportError, AttributeError):
        return False
    return hasattr(owner, attribute)
