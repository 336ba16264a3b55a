"""Media files for tests, made by the same FFmpeg that reads them."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

Samples = npt.NDArray[np.float32]
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def tone(seconds: float, rate: int, channels: int = 1, *, hertz: float = 440.0, level: float = 0.5) -> Samples:
    """Sines, shape (channels, samples); channel n has n + 1 times the frequency."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([level * np.sin(2 * np.pi * hertz * (n + 1) * time) for n in range(channels)]).astype(np.float32)


def encode(container: str, codec: str, samples: Samples, rate: int, *, picture: bool = False) -> bytes:
    """Samples of shape (channels, samples) as a file; with a black video stream before the audio when asked."""
    channels = samples.shape[0]
    layout = LAYOUTS.get(channels, f"{channels} channels")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        video_stream = _video_stream(output) if picture else None
        stream = cast("AudioStream", output.add_stream(cast("Any", codec), rate=rate, layout=layout))
        formats = stream.codec_context.codec.audio_formats or [av.AudioFormat("s16")]
        stream.codec_context.format = formats[0]
        if codec == "vorbis":  # FFmpeg calls its encoder experimental
            stream.codec_context.options = {"strict": "experimental"}
        stream.codec_context.open()
        if video_stream is not None:
            _draw(output, video_stream)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(
            format=formats[0], layout=layout, rate=rate, frame_size=stream.codec_context.frame_size
        )
        for part in resampler.resample(frame) + resampler.resample(None):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def video() -> bytes:
    """An mp4 of one black second, without sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        _draw(output, _video_stream(output))
    return buffer.getvalue()


def _video_stream(output: OutputContainer) -> VideoStream:
    stream = output.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    return stream


def _draw(output: OutputContainer, stream: VideoStream) -> None:
    for number in range(10):
        frame = av.VideoFrame(64, 64, "yuv420p")
        frame.pts = number
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def wav(samples: npt.NDArray[np.int16], rate: int = 16_000) -> bytes:
    """A WAV file of 16-bit samples, shape (samples,) or (samples, channels), written byte by byte."""
    data = samples.astype("<i2").tobytes()
    return wav_header(len(data), rate, samples.shape[1] if samples.ndim == 2 else 1) + data


def wav_header(size: int, rate: int, channels: int = 1) -> bytes:
    """The 44 bytes before 16-bit samples of so many bytes."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return struct.pack("<4sI4s4sI16s4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, form, b"data", size)


def peak_hertz(samples: npt.NDArray[np.int16]) -> float:
    """The strongest frequency of 16 kHz samples."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64)))
    return float(np.fft.rfftfreq(len(samples), 1 / 16_000)[spectrum.argmax()])


def loudness(samples: npt.NDArray[np.int16]) -> float:
    """Root mean square of the middle half, 1 for full scale; codecs fade the ends."""
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4].astype(np.float64) / 32768
    return float(np.sqrt(np.mean(middle**2)))


def pcm(path: Path) -> npt.NDArray[np.int16]:
    """The samples of a decoded track."""
    return np.fromfile(path, dtype="<i2")
