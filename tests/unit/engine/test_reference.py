from __future__ import annotations

import wave
from pathlib import Path

import pytest

from consumer.engine.reference import SHIPPED, Reference
from consumer.errors import UsageError
from consumer.settings import EngineSettings


def test_the_shipped_recording_can_be_used() -> None:
    assert SHIPPED.is_file()
    Reference(EngineSettings())


def test_what_is_no_wav_file_is_a_usage_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.wav", tmp_path / "text.wav"):
        if path.name == "text.wav":
            path.write_text("not audio")
        with pytest.raises(UsageError, match=rf"engine\.reference_audio: .*{path.name} cannot be read"):
            Reference(EngineSettings(reference_audio=path))


@pytest.mark.parametrize(("channels", "rate", "width"), [(2, 16_000, 2), (1, 8_000, 2), (1, 16_000, 1)])
def test_another_format_is_a_usage_error_that_tells_how_to_convert(
    channels: int, rate: int, width: int, tmp_path: Path
) -> None:
    path = tmp_path / "other.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setframerate(rate)
        file.setsampwidth(width)
        file.writeframes(bytes(4 * channels * width))
    with pytest.raises(UsageError, match=rf"{channels} channels, {rate} Hz, {8 * width} bit.*ffmpeg"):
        Reference(EngineSettings(reference_audio=path))
