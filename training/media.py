"""Writes samples as a recording in any of the codecs that the product meets, and reads them back."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream

from training.speech import MODEL_RATE, Samples, resample

# The muxers write neither dates nor random serial numbers, so the same samples give the same bytes.
REPEATABLE = {"fflags": "+bitexact"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A container and codec: PyAV's names, the sample rate, the channels, and the bit rate (0 where it has none)."""

    container: str
    codec: str
    rate: int
    channels: int = 1
    bit_rate: int = 0


def as_frame(samples: Samples, encoding: Encoding) -> av.AudioFrame:
    """The samples, which have the encoding's rate, as one planar float frame of its channels."""
    planes = np.repeat(np.clip(samples, -1, 1)[None, :], encoding.channels, axis=0)
    layout = "mono" if encoding.channels == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout=layout)
    frame.rate = encoding.rate
    frame.time_base = Fraction(1, encoding.rate)
    frame.pts = 0
    return frame


def add_stream(container: av.container.OutputContainer, encoding: Encoding) -> AudioStream:
    """Adds an empty audio stream to an open container; all streams must be there before the first is written."""
    stream = cast("AudioStream", container.add_stream(encoding.codec, rate=encoding.rate))
    stream.layout = "mono" if encoding.channels == 1 else "stereo"
    if encoding.bit_rate:
        stream.bit_rate = encoding.bit_rate
    return stream


def write_audio(
    container: av.container.OutputContainer, stream: AudioStream, samples: Samples, encoding: Encoding
) -> None:
    """Writes all of `samples` to a stream of the container."""
    for packet in [*stream.encode(as_frame(samples, encoding)), *stream.encode(None)]:
        container.mux(packet)


def encode(samples: Samples, encoding: Encoding) -> bytes:
    """A whole recording; `samples` have the encoding's rate."""
    target = io.BytesIO()
    with av.open(target, "w", format=encoding.container, options=REPEATABLE) as container:
        write_audio(container, add_stream(container, encoding), samples, encoding)
    return target.getvalue()


def decode(recording: bytes, rate: int = MODEL_RATE) -> Samples:
    """The first audio stream of a recording as mono samples at `rate` Hz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    parts = []
    with av.open(io.BytesIO(recording), "r") as container:
        for frame in container.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(parts).astype(np.float32)


def round_trip(samples: Samples, encoding: Encoding) -> Samples:
    """What `samples`, mono at the model's rate, sound like after the codec; their length is kept."""
    coded = decode(encode(resample(samples, MODEL_RATE, encoding.rate), encoding))
    kept = coded[: len(samples)]
    return np.pad(kept, (0, len(samples) - len(kept)))
