"""``tingxie transcribe``: files and objects to text, through the same stages as the service, without Kafka."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from rich.console import Console

from consumer.app import open_flow
from consumer.commands.inputs import S3, Input, Objects, find_inputs
from consumer.commands.outputs import FolderOutput, Output, OutputError, StreamOutput
from consumer.commands.progress import Display
from consumer.demo.assets import demo_engine_settings
from consumer.errors import RecordingError, UsageError
from consumer.events.fields import from_pydantic
from consumer.events.recording import Options, Recording
from consumer.events.transcript import Transcript
from consumer.operations.logging import configure_logging
from consumer.settings import Settings
from consumer.storage.objects import ObjectFetcher
from consumer.storage.spool import Spool
from consumer.transcript.formats import Format

MOST_ADMITTED = 64
"""Enough to keep every stage busy; more would only grow the spool."""

TURN_S = 0.1
"""How long the loop waits for a stage at most, so that Ctrl-C is noticed soon."""

SUBTITLES = frozenset({"srt", "vtt"})

Result = Transcript | RecordingError


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for; see ``tingxie transcribe --help``."""

    paths: tuple[str, ...]
    formats: tuple[Format, ...] = ("txt",)
    output: Path | None = None
    channels: Literal["mix", "split"] = "mix"
    timestamps: Literal["none", "sentence", "word"] = "word"
    hotwords: tuple[str, ...] = ()


def with_demo_model(settings: Settings) -> Settings:
    """The same settings with the models that ship with the package."""
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=demo_engine_settings())})


def transcribe(settings: Settings, request: Request) -> int:
    """Transcribe everything asked for; transcripts to stdout or files in the order of the inputs, problems to stderr.

    Returns:
        Exit code: 0, or 1 when any of the inputs has no transcript or could not be written.

    Raises:
        UsageError: the request contradicts itself.
        StopError: the model does not load, or a stage died.
    """
    options = _options(request)
    configure_logging("warning", settings.telemetry.log_format)
    display = Display(Console(stderr=True))
    with ExitStack() as stack:

        def objects() -> Objects:
            spool = Spool(settings.limits.spool_dir)
            return stack.enter_context(closing(ObjectFetcher(settings.storage, settings.limits, spool)))

        inputs = find_inputs(request.paths, options, objects)
    output = _output(request, inputs)
    failed = 0
    for number, result in _in_order(_results(settings, inputs, display)):
        failed += not _deliver(number, inputs[number].name, result, output, display)
    if failed:
        display.say(f"tingxie: {failed} of {len(inputs)} failed")
    return 1 if failed else 0


def _options(request: Request) -> Options:
    if request.timestamps == "none" and (subtitles := SUBTITLES.intersection(request.formats)):
        raise UsageError(f"--format {min(subtitles)} needs times: leave out --timestamps none")
    if request.output is None and len(request.formats) > 1:
        raise UsageError("several formats need --output FOLDER: standard output takes one")
    try:
        return Options(channels=request.channels, timestamps=request.timestamps, hotwords=request.hotwords)
    except ValidationError as error:
        raise UsageError(f"--hotword: {from_pydantic(error)}") from error


def _output(request: Request, inputs: Sequence[Input]) -> Output:
    if request.output is not None:
        return FolderOutput(request.output, request.formats, [each.relative for each in inputs], sys.stdout)
    (form,) = request.formats
    if form in SUBTITLES and len(inputs) > 1:
        raise UsageError(f"{len(inputs)} recordings as {form} need --output FOLDER: one file each")
    return StreamOutput(sys.stdout, form, several=len(inputs) > 1)


def _results(settings: Settings, inputs: Sequence[Input], display: Display) -> Iterator[tuple[int, Result]]:
    """Each input's number and end, in the order they end."""
    recordings: list[tuple[int, Recording]] = []
    for number, each in enumerate(inputs):
        if isinstance(each.recording, Recording):
            recordings.append((number, each.recording))
        else:
            yield number, each.recording
    if not recordings:
        return
    waiting = iter(recordings)
    with open_flow(settings, observer=display, local_files=True) as flow:
        with display.loading():
            flow.start()
        with display:
            display.total(len(recordings))
            while True:
                while flow.load.records < MOST_ADMITTED and (following := next(waiting, None)) is not None:
                    flow.admit(*following, now=time.monotonic())
                if not flow.load.records:
                    return
                for ended in flow.step(time.monotonic()):
                    assert isinstance(ended.tag, int)
                    display.done()
                    yield ended.tag, ended.result
                flow.wait(TURN_S)


def _in_order(results: Iterator[tuple[int, Result]]) -> Iterator[tuple[int, Result]]:
    """Hold back what ends before its turn."""
    early: dict[int, Result] = {}
    turn = 0
    for number, result in results:
        early[number] = result
        while turn in early:
            yield turn, early.pop(turn)
            turn += 1


def _deliver(number: int, name: str, result: Result, output: Output, display: Display) -> bool:
    """Write a transcript or say why there is none; false when there is nothing to be read."""
    if isinstance(result, RecordingError):
        display.say(f"tingxie: {name}: {result.code}: {_reason(name, result)}")
        return False
    for warning in result.warnings:
        display.say(f"tingxie: {name}: {warning}")
    if result.status == "no_speech":
        display.say(f"tingxie: {name}: no speech in it")
    try:
        display.beside(lambda: output.write(number, name, result))
    except OutputError as error:
        display.say(f"tingxie: {error}")
        return False
    return True


def _reason(name: str, error: RecordingError) -> str:
    """An error's message without the name that it begins with: stages know a file by its absolute path or its key."""
    reason = str(error)
    path = name.removeprefix(S3)
    for known in (f"/{path}", name, path, str(Path(path).absolute())):
        reason = reason.removeprefix(f"{known}: ")
    return reason
