"""Decoded frames of any kind in, 16 kHz 16-bit samples in files out; runs inside a decoder process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import BinaryIO

from av import AudioFrame
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as EndOfGraph
from av.error import FFmpegError
from av.filter import Graph

from consumer.errors import AudioTooLong, AudioUnsupported
from consumer.transcript.types import SAMPLE_BYTES, SAMPLE_RATE


class Converter:
    """Writes the average of all channels to the first file, or each channel to its own.

    A source of 16-bit mono at 16 kHz is passed on as it is. All else goes through floating point, so that nothing is
    rounded twice or clipped before the end.
    """

    def __init__(self, files: Sequence[BinaryIO], *, split: bool, seconds: int) -> None:
        """Files to write to, at least one (when splitting: as many as channels are allowed), and the longest audio."""
        self._files = files
        self._split = split
        self._limit = seconds
        self._shape: tuple[str, str, int] | None = None
        self._graph: Graph | None = None
        self.tracks = 0
        self.samples = 0

    def write(self, frame: AudioFrame) -> None:
        """Convert one frame; format, layout and rate may change between frames.

        Raises:
            AudioUnsupported: a shape that cannot be converted, or more channels than files to split them to.
            AudioTooLong: more than the allowed seconds so far.
        """
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            self.flush()
            self._start(frame)
            self._shape = shape
        if self._graph is None:
            self._put(frame)
            return
        frame.pts = None  # gaps and jumps of time stamps are not this converter's business
        self._graph.push(frame)
        self._drain(self._graph)

    def flush(self) -> None:
        """Write what the resampler still holds of the frames so far."""
        if self._graph is not None:
            self._graph.push(None)
            self._drain(self._graph)
        self._graph = None
        self._shape = None

    def silence(self, seconds: float) -> None:
        """Write silence to all tracks; errors as `write`."""
        self.flush()
        samples = round(seconds * SAMPLE_RATE)
        self._count(samples)
        for start in range(0, samples, SAMPLE_RATE):
            for file in self._files[: self.tracks]:
                file.write(bytes(min(SAMPLE_RATE, samples - start) * SAMPLE_BYTES))

    def _start(self, frame: AudioFrame) -> None:
        channels, rate = frame.layout.nb_channels, frame.sample_rate
        tracks = channels if self._split else 1
        if tracks > len(self._files):
            raise AudioUnsupported(f"{channels} channels; at most {len(self._files)} can be split (limits.channels)")
        if self.tracks not in {0, tracks}:
            raise AudioUnsupported(f"{self.tracks} channels that become {tracks} midway cannot be split")
        self.tracks = tracks
        if rate == SAMPLE_RATE and channels == 1 and frame.format.name in {"s16", "s16p"}:
            self._graph = None
            return
        try:
            self._graph = self._build(frame.format.name, frame.layout.name, channels, rate)
        except FFmpegError as error:
            shape = f"{frame.format.name}, {frame.layout.name}, {rate} Hz"
            raise AudioUnsupported(f"audio of this shape cannot be converted: {shape} ({error.strerror})") from error

    def _build(self, sample_format: str, layout: str, channels: int, rate: int) -> Graph:
        graph = Graph()
        graph.threads = 1  # FFmpeg would start a thread for each core, and the process may start none
        nodes = [
            graph.add(
                "abuffer",
                sample_rate=str(rate),
                sample_fmt=sample_format,
                channel_layout=layout,
                time_base=str(Fraction(1, rate)),
            ),
            graph.add("aformat", sample_fmts="fltp"),
        ]
        if not self._split and channels > 1:
            # An average by name: FFmpeg's own downmix favours the centre channel and drops the low-frequency one.
            nodes.append(graph.add("pan", "mono|c0=" + "+".join(f"{1 / channels:.9f}*c{n}" for n in range(channels))))
        nodes += [
            graph.add("aresample", str(SAMPLE_RATE)),
            graph.add("aformat", sample_fmts="s16p"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph

    def _drain(self, graph: Graph) -> None:
        for frame in _pulled(graph):
            self._put(frame)

    def _put(self, frame: AudioFrame) -> None:
        self._count(frame.samples)
        for file, plane in zip(self._files, frame.planes, strict=False):
            file.write(memoryview(plane)[: frame.samples * SAMPLE_BYTES])

    def _count(self, samples: int) -> None:
        self.samples += samples
        if self.samples > self._limit * SAMPLE_RATE:
            raise AudioTooLong(f"longer than limits.audio_seconds ({self._limit} s)")


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (NothingYet, EndOfGraph):
            return
        if isinstance(frame, AudioFrame):
            yield frame
