"""What is uploaded: short recordings whose text is known, and media nobody can transcribe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from consumer.demo.assets import SAMPLES
from consumer.demo.samples import load_samples
from tests.faults.evidence import Content
from tests.integration.media import silent_film

NEVER_PUT = ""
"""ETag of an object that is announced and does not exist."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One content of an object.

    Attributes:
        name: end of the object's key.
        body: its bytes; None for an object that is announced and never put.
        content: how it must end, where that is known beforehand.
    """

    name: str
    body: bytes | None
    content: Content | None = None

    @property
    def etag(self) -> str:
        """As the bucket tells it."""
        return NEVER_PUT if self.body is None else hashlib.md5(self.body, usedforsecurity=False).hexdigest()


def good_clips() -> tuple[Clip, ...]:
    """The shipped samples that end as transcripts; what these say is found out by a run that nothing disturbs."""
    samples = [sample for sample in load_samples(SAMPLES) if sample.expect != "dead-letter"]
    return tuple(Clip(sample.name, sample.path.read_bytes()) for sample in samples)


def bad_clips() -> tuple[Clip, ...]:
    """Uploads that end as dead letters, each with the class of its own."""
    broken = next(sample for sample in load_samples(SAMPLES) if sample.expect == "dead-letter")
    bodies: Mapping[str, tuple[bytes | None, str]] = {
        broken.name: (broken.path.read_bytes(), broken.error_class),
        "text.wav": ("这不是录音。\n".encode() * 100, "not_media"),
        "empty.wav": (b"", "object_empty"),
        "film.mp4": (silent_film(), "no_audio_stream"),
        "missing.wav": (None, "object_missing"),
    }
    return tuple(
        Clip(name, body, Content("dead-letter", error_class=error_class))
        for name, (body, error_class) in bodies.items()
    )
