"""The sample recordings, how each of them ends, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from consumer.demo.assets import SAMPLES
from consumer.transcript.cer import CharacterErrors, compare

Expect = Literal["completed", "no_speech", "dead-letter"]

GARBLED = 0.2
"""A transcript with more character errors than this says something else than its recording."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One shipped recording.

    Attributes:
        path: the file.
        expect: how it ends.
        text: what is said in it, with punctuation; "" when nothing is.
        error_class: of its dead letter; "" when it has none.
    """

    path: Path
    expect: Expect
    text: str = ""
    error_class: str = ""

    @property
    def name(self) -> str:
        """File name, and the key it is uploaded under."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class Ending:
    """What a topic says about one object.

    Attributes:
        status: ``completed`` or ``no_speech`` of a transcript, or ``dead-letter``.
        text: of the transcript.
        error_class: of the dead letter.
    """

    status: str
    text: str = ""
    error_class: str = ""


def load_samples(folder: Path = SAMPLES) -> tuple[Sample, ...]:
    """The samples that ``truth.json`` in the folder names, in its order."""
    entries: list[dict[str, Any]] = orjson.loads((folder / "truth.json").read_bytes())["samples"]
    return tuple(
        Sample(
            path=folder / entry["file"],
            expect=entry["expect"],
            text=entry.get("text") or "",
            error_class=entry.get("error_class") or "",
        )
        for entry in entries
    )


def fault(sample: Sample, ending: Ending | None) -> str | None:
    """What is wrong with how a sample ended, as a line for people; None when it ended as it should."""
    if ending is None:
        return f"{sample.name}: neither a transcript nor a dead letter arrived"
    if ending.status != sample.expect:
        return f"{sample.name}: ended as {_described(ending)}, should be {sample.expect}"
    if sample.error_class and ending.error_class != sample.error_class:
        return f"{sample.name}: dead letter of class {ending.error_class}, should be {sample.error_class}"
    if sample.expect == "completed" and compare(sample.text, ending.text).rate > GARBLED:
        return f"{sample.name}: transcript {ending.text!r}, should be {sample.text!r}"
    return None


def faults(samples: Sequence[Sample], endings: Mapping[str, Ending]) -> list[str]:
    """What is wrong with how the samples ended; ``endings`` by sample name."""
    found = (fault(sample, endings.get(sample.name)) for sample in samples)
    return [line for line in found if line is not None]


def errors_in(samples: Sequence[Sample], endings: Mapping[str, Ending]) -> CharacterErrors:
    """Character errors over all samples in which somebody speaks; a missing transcript counts as empty."""
    total = CharacterErrors(0, 0)
    for sample in samples:
        if sample.text:
            ending = endings.get(sample.name)
            total += compare(sample.text, ending.text if ending else "")
    return total


def _described(ending: Ending) -> str:
    return f"{ending.status} ({ending.error_class})" if ending.error_class else ending.status
