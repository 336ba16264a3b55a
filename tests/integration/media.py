"""What tests upload: the shipped recordings, and small media files that these do not cover."""

from __future__ import annotations

import io
import wave
from fractions import Fraction

import av
import numpy as np

from consumer.demo.samples import load_samples

SPOKEN = [sample for sample in load_samples() if sample.expect == "completed"]
"""Shipped recordings in which something is said."""


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    """A mono 16-bit WAV file of samples between -1 and 1."""
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return sink.getvalue()


def silence(seconds: float) -> bytes:
    """A WAV file in which nothing is heard."""
    return wav(np.zeros(round(seconds * 16_000)))


def silent_film(seconds: float = 1.0) -> bytes:
    """An MP4 file with pictures and without an audio stream."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(round(seconds * 10)):
            picture = np.full((32, 32, 3), number * 20 % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return sink.getvalue()
