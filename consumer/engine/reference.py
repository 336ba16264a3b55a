"""A recording that models must understand before they serve."""

from __future__ import annotations

import wave
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from consumer.errors import ModelUnavailable, UsageError
from consumer.settings import EngineSettings
from consumer.transcript.cer import compare
from consumer.transcript.text import join_words
from consumer.transcript.types import SAMPLE_RATE

if TYPE_CHECKING:
    from consumer.engine.load import Models
    from consumer.engine.samples import Samples

SHIPPED = Path(str(files("consumer.engine"))) / "reference.wav"
"""Five seconds of clear Mandarin, for who names no recording."""


class Reference:
    """What models hear in it is compared with ``engine.reference_text``, or else with what those heard before them."""

    def __init__(self, settings: EngineSettings) -> None:
        """Read the recording.

        Raises:
            UsageError: it is no WAV file, mono, 16 kHz, 16 bit.
        """
        self._path = settings.reference_audio or SHIPPED
        self._text = settings.reference_text
        self._error_rate = settings.reference_error_rate
        self._samples = _read(self._path)

    def check(self, models: Models, before: str) -> str:
        """Let models hear it.

        Args:
            models: the ones to check.
            before: what those heard that serve now; empty when none do.

        Returns:
            What they heard, without punctuation.

        Raises:
            ModelUnavailable: more than ``engine.reference_error_rate`` of it is wrong.
        """
        heard = self._heard(models)
        expected = self._text or before
        if expected and (rate := compare(expected, heard).rate) > self._error_rate:
            whose = "is said" if self._text else "the models before it heard"
            raise ModelUnavailable(
                f"engine.model: {models.info.name}@{models.info.revision} hears {heard!r} in the reference recording "
                f"{self._path.name}, where {whose} {expected!r}: {rate:.0%} of the characters are wrong, and "
                f"engine.reference_error_rate allows {self._error_rate:.0%}."
            )
        return heard

    def _heard(self, models: Models) -> str:
        speech = models.detector.detect(self._samples)
        if not speech:
            return ""
        found = models.recogniser.recognise([span.mel for span in speech], [span.start_ms for span in speech])
        return join_words(word for words in found for word in words)


def _read(path: Path) -> Samples:
    try:
        with wave.open(str(path), "rb") as file:
            shape = (file.getnchannels(), file.getframerate(), file.getsampwidth())
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as cause:
        raise UsageError(f"engine.reference_audio: {path} cannot be read as a WAV file: {cause}") from cause
    if shape != (1, SAMPLE_RATE, 2):
        raise UsageError(
            f"engine.reference_audio: {path} has {shape[0]} channels, {shape[1]} Hz, {8 * shape[2]} bit; it must have "
            f"one, {SAMPLE_RATE} Hz, 16 bit: ffmpeg -i {path.name} -ac 1 -ar {SAMPLE_RATE} -c:a pcm_s16le reference.wav"
        )
    return np.frombuffer(data, dtype="<i2")
