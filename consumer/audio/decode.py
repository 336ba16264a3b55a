"""The decoding itself; runs inside a decoder process, since what it reads may have been made to break it.

FFmpeg is given as little as possible: one demuxer (see `consumer.audio.sniff`), audio decoders only, and an open file
in place of a name. A container that refers to other files or addresses finds no way to open them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition

from consumer.audio.convert import Converter
from consumer.audio.damage import Damage, cut_file, cut_packet
from consumer.audio.sniff import sniff
from consumer.errors import AudioUnsupported, NoAudioStream, NotMedia
from consumer.transcript.types import SAMPLE_RATE

_CODECS = (
    "aac,ac3,adpcm_g722,adpcm_g726,adpcm_g726le,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_yamaha,alac,amr_nb,amr_wb,"
    "eac3,flac,g723_1,gsm,gsm_ms,ilbc,mp2,mp3,opus,pcm_alaw,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,"
    "pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_s64be,pcm_s64le,pcm_s8,"
    "pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_u8,speex,vorbis"
)
CODECS = frozenset(_CODECS.split(","))
"""FFmpeg's names of the codecs that recordings come in."""

DECODERS = f"{_CODECS},amrnb,amrwb,g722,g726,g726le,libopus,mp2float,mp3float"
"""The same as names of decoders, where those differ: FFmpeg may use no other to find out about a stream."""

TOLD_LENGTH = frozenset({"wav", "w64", "aiff", "au", "flac", "mov,mp4,m4a,3gp,3g2,mj2"})
"""Demuxers whose files say how long the audio is; elsewhere FFmpeg estimates, and a shortfall means nothing."""

TOLD_LENGTH_OF_ALL = frozenset({"matroska,webm"})
"""Demuxers whose files say how long the longest of their streams is."""

SMALLEST_GAP = 0.1
"""Seconds between time stamps that are no rounding, which is a few milliseconds in some containers."""

LONGEST_GAP = 3600.0
"""Seconds of silence that a pause in a recording explains; beyond, the time stamp is wrong."""

BROKEN = (FFmpegError, OSError)
"""What broken media end in; an OSError where they send the reader to a place in the file that cannot be."""

BUFFER = 1 << 16
"""Bytes read from the file at a time."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to decode, and where to.

    Attributes:
        source: the media file, open for reading and seekable.
        outputs: files to write: one for a mix; as many as channels are allowed for a split.
        split: one file for each channel.
        seconds: longest audio.
        channels: most channels.
        rates: lowest and highest sample rate, in Hz.
    """

    source: BinaryIO
    outputs: tuple[BinaryIO, ...]
    split: bool
    seconds: int
    channels: int
    rates: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Report:
    """What came out; the first ``tracks`` outputs hold ``samples`` each. The rest is as in `DecodedAudio`."""

    tracks: int
    samples: int
    format: str
    codec: str
    sample_rate: int
    channels: int
    warnings: tuple[str, ...]


class Timeline:
    """Follows time stamps, so that times in a transcript stay those of the recording where parts of it are missing."""

    def __init__(self) -> None:
        self._expected: float | None = None

    def gap(self, frame: av.AudioFrame) -> float:
        """Seconds missing before a frame; 0 also where time stamps jump in a way that no loss explains."""
        length = frame.samples / frame.sample_rate
        if frame.pts is None or frame.time_base is None:
            if self._expected is not None:
                self._expected += length
            return 0.0
        time = frame.pts * frame.time_base.numerator / frame.time_base.denominator
        missing = 0.0 if self._expected is None else time - self._expected
        if self._expected is None or abs(missing) > SMALLEST_GAP:
            self._expected = time
        self._expected += length
        return missing if SMALLEST_GAP < missing <= LONGEST_GAP else 0.0


def decode(request: Request) -> Report:
    """Decode a file to 16 kHz mono, holding no more than a few packets in memory.

    Raises:
        NotMedia: the content is of no container or codec that can be decoded, or nothing of it could be.
        NoAudioStream: there is no sound in it.
        AudioUnsupported: sample rate or channel count out of bounds.
        AudioTooLong: more than the allowed seconds.
        MemoryError: opening it takes more memory than the process may have.
        OSError: an output cannot be written.
    """
    with ExitStack() as stack:
        file = request.source
        demuxer = sniff(file)
        damage = Damage(cut=cut_file(file, demuxer))
        file.seek(0)
        container = stack.enter_context(_open(file, demuxer))
        stream = _choose(container, damage)
        _check_shape(stream.codec_context.channels, stream.codec_context.sample_rate, request)
        converter = Converter(request.outputs, split=request.split, seconds=request.seconds)
        rate = channels = 0
        timeline = Timeline()
        for frame in _frames(container, stream, demuxer, damage):
            if not rate:
                rate, channels = frame.sample_rate, frame.layout.nb_channels
            _check_shape(frame.layout.nb_channels, frame.sample_rate, request)
            if gap := timeline.gap(frame):
                damage.filled(gap)
                converter.silence(gap)
            converter.write(frame)
        converter.flush()
        if demuxer in TOLD_LENGTH or (demuxer in TOLD_LENGTH_OF_ALL and len(container.streams) == 1):
            damage.ended(converter.samples / SAMPLE_RATE, _told_seconds(container, stream))
        codec = stream.codec_context.codec.canonical_name
    if not converter.samples:
        if damage.packets or damage.cut:
            raise NotMedia(
                f"it starts like {demuxer}, but nothing of it can be decoded ({damage.reason or damage.cut})"
            )
        raise NoAudioStream("its audio stream holds no samples")
    return Report(
        tracks=converter.tracks,
        samples=converter.samples,
        format=demuxer,
        codec=codec,
        sample_rate=rate,
        channels=channels,
        warnings=damage.warnings(),
    )


def _open(file: BinaryIO, demuxer: str) -> InputContainer:
    try:
        return av.open(
            file,
            "r",
            format=demuxer.split(",", maxsplit=1)[0],
            container_options={
                "format_whitelist": demuxer,
                "codec_whitelist": DECODERS,
                "protocol_whitelist": "none",
            },
            buffer_size=BUFFER,
            metadata_errors="replace",
            io_open=_refuse,
        )
    except MemoryError:
        raise  # FFmpeg's own is one of BROKEN too
    except BROKEN as error:
        reason = error.strerror or error
        raise NotMedia(f"it starts like {demuxer}, but is damaged or cut off ({reason})") from error


def _refuse(*_: Any) -> NoReturn:
    raise PermissionError("a recording may not open other files")


def _choose(container: InputContainer, damage: Damage) -> AudioStream:
    """The audio stream marked as default, else the first."""
    streams = container.streams.audio
    if not streams:
        raise NoAudioStream("a media file without sound")
    stream = next((stream for stream in streams if stream.disposition & Disposition.default), streams[0])
    context: av.AudioCodecContext | None = stream.codec_context  # None where FFmpeg knows no decoder
    if context is None or context.codec.canonical_name not in CODECS:
        name = context.codec.canonical_name if context is not None else "unknown"
        raise NotMedia(f"its sound is of codec {name}, which is not supported")
    if len(streams) > 1:
        damage.notes.append(f"one of {len(streams)} audio streams was used, stream {stream.index}")
    context.thread_count = 1  # its parallelism is the number of processes
    return stream


def _check_shape(channels: int, rate: int, request: Request) -> None:
    if channels > request.channels:
        raise AudioUnsupported(f"{channels} channels, more than limits.channels ({request.channels})")
    low, high = request.rates
    if rate and rate < low:  # 0: not known before the first frame
        raise AudioUnsupported(f"a sample rate of {rate} Hz, less than limits.lowest_sample_rate ({low} Hz)")
    if rate > high:
        raise AudioUnsupported(f"a sample rate of {rate} Hz, more than limits.highest_sample_rate ({high} Hz)")


def _frames(container: InputContainer, stream: AudioStream, demuxer: str, damage: Damage) -> Iterator[av.AudioFrame]:
    for packet in _packets(container, stream, demuxer, damage):
        try:
            frames = stream.decode(packet)
        except BROKEN as error:
            damage.refused(str(error.strerror or error))
            continue
        yield from (frame for frame in frames if frame.samples and frame.sample_rate)


def _packets(
    container: InputContainer, stream: AudioStream, demuxer: str, damage: Damage
) -> Iterator[Packet[AudioStream] | None]:
    """Packets of a stream, and at last None, which makes the decoder hand out what it still holds."""
    packet = None
    try:
        for current in container.demux(stream):
            if current.size:  # the decoder would take an empty one for the end
                packet = current
                yield packet
    except BROKEN as error:
        damage.cut = str(error.strerror or error)
    if packet is not None:
        damage.cut = damage.cut or cut_packet(bytes(packet), demuxer)
    yield None


def _told_seconds(container: InputContainer, stream: AudioStream) -> float:
    """How long the file says that the audio is; an edit list makes the container's figure the smaller."""
    told = []
    if container.duration:
        told.append(container.duration / av.time_base)
    if stream.duration and stream.time_base:
        told.append(float(stream.duration * stream.time_base))
    return min(told, default=0.0)
