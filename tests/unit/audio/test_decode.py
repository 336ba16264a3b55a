"""Decoding itself, called in this process."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.stream import Disposition

from consumer.audio import decode as module
from consumer.audio.decode import Report, Request, decode
from consumer.errors import AudioTooLong, AudioUnsupported, NoAudioStream, NotMedia
from tests.unit.audio.media import encode, loudness, pcm, peak_hertz, tone, video, wav, wav_header

Pcm = npt.NDArray[np.int16]
Decode = Callable[..., tuple[Report, list[Pcm]]]

MOV = "mov,mp4,m4a,3gp,3g2,mj2"
MKV = "matroska,webm"

# Container and encoder as FFmpeg's writers name them, source rate and channels, then what the report says.
# FFmpeg writes no AMR-WB; see below.
KINDS = [
    ("wav", "pcm_s16le", 16_000, 1, "wav", "pcm_s16le"),
    ("wav", "pcm_s16le", 48_000, 5, "wav", "pcm_s16le"),
    ("wav", "pcm_s24le", 44_100, 2, "wav", "pcm_s24le"),
    ("wav", "pcm_s32le", 32_000, 1, "wav", "pcm_s32le"),
    ("wav", "pcm_f32le", 48_000, 2, "wav", "pcm_f32le"),
    ("wav", "pcm_f64le", 22_050, 1, "wav", "pcm_f64le"),
    ("wav", "pcm_u8", 8_000, 1, "wav", "pcm_u8"),
    ("wav", "pcm_mulaw", 8_000, 1, "wav", "pcm_mulaw"),
    ("wav", "pcm_alaw", 8_000, 2, "wav", "pcm_alaw"),
    ("wav", "adpcm_ms", 22_050, 1, "wav", "adpcm_ms"),
    ("wav", "adpcm_ima_wav", 22_050, 2, "wav", "adpcm_ima_wav"),
    ("wav", "g722", 16_000, 1, "wav", "adpcm_g722"),
    ("wav", "g726", 8_000, 1, "wav", "adpcm_g726"),
    ("w64", "pcm_s16le", 16_000, 1, "w64", "pcm_s16le"),
    ("aiff", "pcm_s16be", 44_100, 2, "aiff", "pcm_s16be"),
    ("au", "pcm_mulaw", 8_000, 1, "au", "pcm_mulaw"),
    ("mp3", "libmp3lame", 44_100, 2, "mp3", "mp3"),
    ("mp3", "libmp3lame", 16_000, 1, "mp3", "mp3"),
    ("mp3", "libmp3lame", 8_000, 1, "mp3", "mp3"),
    ("mp2", "mp2", 44_100, 2, "mp3", "mp2"),
    ("adts", "aac", 44_100, 2, "aac", "aac"),
    ("ipod", "aac", 44_100, 2, MOV, "aac"),
    ("ipod", "alac", 44_100, 2, MOV, "alac"),
    ("mp4", "aac", 48_000, 6, MOV, "aac"),
    ("mp4", "ac3", 48_000, 2, MOV, "ac3"),
    ("mov", "pcm_s24le", 48_000, 2, MOV, "pcm_s24le"),
    ("3gp", "libopencore_amrnb", 8_000, 1, MOV, "amr_nb"),
    ("amr", "libopencore_amrnb", 8_000, 1, "amr", "amr_nb"),
    ("ogg", "libopus", 48_000, 2, "ogg", "opus"),
    ("ogg", "libopus", 16_000, 1, "ogg", "opus"),
    ("ogg", "flac", 16_000, 1, "ogg", "flac"),
    ("ogg", "vorbis", 44_100, 2, "ogg", "vorbis"),
    ("webm", "vorbis", 48_000, 2, MKV, "vorbis"),
    ("flac", "flac", 96_000, 2, "flac", "flac"),
    ("webm", "libopus", 48_000, 1, MKV, "opus"),
    ("matroska", "eac3", 48_000, 2, MKV, "eac3"),
]
SECONDS = 2.0
RATES = (4_000, 384_000)


@pytest.fixture
def run(tmp_path: Path) -> Decode:
    """Decode bytes: the report, and the samples of each track."""

    def call(data: bytes, *, split: bool = False, seconds: int = 3600, channels: int = 16) -> tuple[Report, list[Pcm]]:
        source = tmp_path / "source"
        source.write_bytes(data)
        outputs = tuple(tmp_path / f"{n}.pcm" for n in range(channels if split else 1))
        with ExitStack() as stack:
            files = tuple(stack.enter_context(path.open("wb")) for path in outputs)
            file = stack.enter_context(source.open("rb"))
            report = decode(Request(file, files, split, seconds, channels, RATES))
        return report, [pcm(path) for path in outputs[: report.tracks]]

    return call


@pytest.mark.parametrize("split", [False, True], ids=["mix", "split"])
@pytest.mark.parametrize(
    ("container", "codec", "rate", "channels", "format_name", "codec_name"),
    KINDS,
    ids=[f"{container}-{codec}-{rate}-{channels}" for container, codec, rate, channels, *_ in KINDS],
)
def test_every_kind_keeps_duration_frequency_and_level(
    run: Decode, container: str, codec: str, rate: int, channels: int, format_name: str, codec_name: str, split: bool
) -> None:
    samples = tone(SECONDS, rate, channels) if split else np.repeat(tone(SECONDS, rate), channels, axis=0)
    report, tracks = run(encode(container, codec, samples, rate), split=split)

    assert (report.format, report.codec, report.channels) == (format_name, codec_name, channels)
    assert report.sample_rate == (48_000 if codec_name == "opus" else rate)  # Opus knows no other
    assert report.warnings == ()
    assert len(tracks) == (channels if split else 1)
    # The low-frequency channel of 5.1 (number 3) carries nothing at 440 Hz and above in lossy codecs.
    for number, track in enumerate(tracks):
        if channels == 6 and number == 3:
            continue
        assert len(track) == report.samples
        assert len(track) / 16_000 == pytest.approx(SECONDS, abs=0.1)
        assert peak_hertz(track) == pytest.approx(440 * (number + 1), abs=2)
        if channels < 6:
            assert loudness(track) == pytest.approx(0.5 / np.sqrt(2), rel=0.15)


def test_amr_wideband(run: Decode) -> None:
    frame = b"\x04" + np.random.default_rng(2).integers(0, 256, 17, dtype=np.uint8).tobytes()  # 6.60 kbit/s, 20 ms
    report, (track,) = run(b"#!AMR-WB\n" + frame * 50)
    assert (report.format, report.codec, report.sample_rate, report.channels) == ("amr", "amr_wb", 16_000, 1)
    assert report.samples == 16_000
    assert track.any()
    assert report.warnings == ()


def test_16_khz_mono_is_untouched(run: Decode) -> None:
    samples = np.random.default_rng(3).integers(-32768, 32768, 40_001).astype(np.int16)
    for split in (False, True):
        report, tracks = run(wav(samples), split=split)
        assert report.samples == 40_001
        assert np.array_equal(tracks[0], samples)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_length_is_exact_and_the_tail_is_not_lost(run: Decode, rate: int) -> None:
    samples = (tone(1.0, rate)[0] * 32767).astype(np.int16)
    samples[-rate // 20 :] = (samples[-rate // 20 :] * 1.9).astype(np.int16)  # the last 50 ms are the loudest
    _, (track,) = run(wav(samples, rate))
    assert abs(len(track) - 16_000) <= 2
    assert np.abs(track[-400:].astype(int)).max() > 25_000


def test_same_signal_in_both_channels_keeps_its_level(run: Decode) -> None:
    signal = (tone(1.0, 44_100, level=0.9)[0] * 32767).astype(np.int16)
    _, (mono,) = run(wav(signal, 44_100))
    _, (stereo,) = run(wav(np.stack([signal, signal], axis=1), 44_100))
    assert np.abs(mono.astype(int) - stereo).max() <= 1


def test_signal_in_one_channel_is_halved_and_not_distorted(run: Decode) -> None:
    signal = (tone(1.0, 16_000, level=1.0)[0] * 32767).astype(np.int16)
    _, (mixed,) = run(wav(np.stack([signal, np.zeros_like(signal)], axis=1)))
    assert np.abs(mixed.astype(int) * 2 - signal).max() <= 2


def test_full_scale_in_all_channels_does_not_wrap(run: Decode) -> None:
    square = np.where(np.arange(48_000) // 100 % 2, 32767, -32768).astype(np.int16)
    _, (track,) = run(wav(np.stack([square] * 4, axis=1), 48_000))
    reference = square[::3]
    inside = np.minimum(np.arange(16_000) % 33, 33 - np.arange(16_000) % 33) > 8  # away from the edges
    assert np.all(np.sign(track[inside]) == np.sign(reference[inside]))


def test_opposite_channels_cancel_out(run: Decode) -> None:
    signal = (tone(0.5, 16_000)[0] * 32767).astype(np.int16)
    _, (track,) = run(wav(np.stack([signal, -signal], axis=1)))
    assert np.abs(track).max() <= 1


def test_split_keeps_sixteen_channels_apart(run: Decode) -> None:
    samples = np.stack([np.full(16_000, 1_000 * (n + 1)) for n in range(16)], axis=1).astype(np.int16)
    report, tracks = run(wav(samples), split=True)
    assert report.tracks == 16
    assert [int(track[8_000]) for track in tracks] == [1_000 * (n + 1) for n in range(16)]


def test_too_many_channels(run: Decode) -> None:
    data = wav(np.zeros((100, 5), np.int16))
    for split in (False, True):
        with pytest.raises(AudioUnsupported, match=r"5 channels, more than limits.channels \(4\)"):
            run(data, split=split, channels=4)


@pytest.mark.parametrize(
    ("rate", "limit"),
    [
        (1, r"less than limits.lowest_sample_rate \(4000 Hz\)"),
        (3_999, r"less than limits.lowest_sample_rate \(4000 Hz\)"),
        (384_001, r"more than limits.highest_sample_rate \(384000 Hz\)"),
    ],
)
def test_impossible_rates(run: Decode, rate: int, limit: str) -> None:
    with pytest.raises(AudioUnsupported, match=f"{rate} Hz, {limit}"):
        run(wav(np.zeros(1_000, np.int16), rate))


def test_longest_audio(run: Decode) -> None:
    report, _ = run(wav(np.zeros(32_000, np.int16)), seconds=2)
    assert report.samples == 32_000
    with pytest.raises(AudioTooLong, match=r"limits.audio_seconds \(2 s\)"):
        run(wav(np.zeros(32_001, np.int16)), seconds=2)
    with pytest.raises(AudioTooLong):
        run(encode("mp3", "libmp3lame", tone(3.0, 44_100), 44_100), seconds=2)


@pytest.mark.parametrize(("container", "codec"), [("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("ogg", "libopus")])
def test_ten_milliseconds(run: Decode, container: str, codec: str) -> None:
    report, _ = run(encode(container, codec, tone(0.01, 16_000), 16_000))
    assert 160 <= report.samples <= 1_600


def test_audio_of_a_video(run: Decode) -> None:
    report, (track,) = run(encode("mp4", "aac", tone(1.0, 44_100, 2), 44_100, picture=True))
    assert report.codec == "aac"
    assert len(track) / 16_000 == pytest.approx(1.0, abs=0.1)


def test_video_without_sound(run: Decode) -> None:
    with pytest.raises(NoAudioStream, match="without sound"):
        run(video())


def test_header_without_samples(run: Decode) -> None:
    with pytest.raises(NoAudioStream, match="no samples"):
        run(wav(np.zeros(0, np.int16)))


def test_codec_that_no_recording_uses(run: Decode) -> None:
    with pytest.raises(NotMedia, match="tta"):
        run(encode("matroska", "tta", tone(1.0, 44_100), 44_100))


def test_the_default_stream_is_preferred(run: Decode, tmp_path: Path) -> None:
    parts = [encode("matroska", "pcm_s16le", tone(0.5, 16_000, hertz=hertz), 16_000) for hertz in (300, 900)]
    merged = tmp_path / "merged.mkv"
    merge(parts, merged)
    report, (track,) = run(merged.read_bytes())
    assert peak_hertz(track) == pytest.approx(900, abs=3)
    assert "one of 2 audio streams" in report.warnings[0]


def merge(parts: list[bytes], target: Path) -> None:
    """One file with the audio streams of several, the last marked as default."""
    with ExitStack() as stack:
        inputs = [stack.enter_context(av.open(io.BytesIO(part), "r")) for part in parts]
        output = stack.enter_context(av.open(str(target), "w", format="matroska"))
        streams = [output.add_stream_from_template(source.streams.audio[0]) for source in inputs]
        for stream in streams:
            stream.disposition = Disposition(0)
        streams[-1].disposition = Disposition.default
        for source, stream in zip(inputs, streams, strict=True):
            for packet in source.demux(source.streams.audio[0]):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)


@pytest.mark.parametrize(
    ("container", "codec", "said"),
    [
        ("wav", "pcm_s16le", "bytes are there"),
        ("mp3", "libmp3lame", "last frame is incomplete"),
        ("ogg", "libopus", "last page is incomplete"),
        ("flac", "flac", "of 4.0 s are there"),
        ("webm", "libopus", "of 4.0 s are there"),
        ("aiff", "pcm_s16be", "s are there"),
    ],
)
def test_what_is_there_of_a_truncated_file_is_kept(run: Decode, container: str, codec: str, said: str) -> None:
    data = encode(container, codec, tone(4.0, 48_000), 48_000)
    report, (track,) = run(data[: len(data) * 6 // 10 + 7])
    assert 0.9 <= report.samples / 16_000 <= 2.6
    assert peak_hertz(track) == pytest.approx(440, abs=2)
    assert "ends early" in report.warnings[-1]
    assert said in report.warnings[-1]


def test_m4a_cut_before_its_index(run: Decode) -> None:
    data = encode("ipod", "aac", tone(2.0, 44_100), 44_100)
    with pytest.raises(NotMedia, match="damaged or cut off"):
        run(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("container", "codec"), [("ipod", "aac"), ("ogg", "libopus"), ("flac", "flac"), ("wav", "adpcm_ms")]
)
def test_damage_in_the_middle_keeps_the_times_after_it(run: Decode, container: str, codec: str) -> None:
    samples = tone(6.0, 48_000)
    samples[:, 48_000 * 5 :] = tone(1.0, 48_000, hertz=1_500)
    data = bytearray(encode(container, codec, samples, 48_000))
    noise = np.random.default_rng(5).integers(0, 256, len(data) // 8, dtype=np.uint8).tobytes()
    data[len(data) // 3 : len(data) // 3 + len(noise)] = noise
    report, (track,) = run(bytes(data))
    assert report.warnings
    assert report.samples / 16_000 == pytest.approx(6.0, abs=0.1)
    assert peak_hertz(track[int(5.1 * 16_000) : int(5.9 * 16_000)]) == pytest.approx(1_500, abs=5)


def test_a_rate_that_changes_midway(run: Decode) -> None:
    data = encode("mp3", "libmp3lame", tone(1.0, 44_100), 44_100) + encode(
        "mp3", "libmp3lame", tone(1.0, 48_000), 48_000
    )
    report, (track,) = run(data)
    assert report.samples / 16_000 == pytest.approx(2.0, abs=0.2)
    assert peak_hertz(track[-12_000:-2_000]) == pytest.approx(440, abs=5)


def test_float_samples_out_of_range_are_clipped_and_no_number_is_silence(run: Decode) -> None:
    samples = np.full((1, 16_000), 8.0, np.float32)
    samples[:, 8_000:] = np.nan
    report, (track,) = run(encode("wav", "pcm_f32le", samples, 16_000))
    assert report.samples == 16_000
    assert np.all(track[:7_000] == 32767)


@pytest.mark.parametrize("at", [16 + n for n in range(0, 120, 4)])
def test_a_header_that_leads_out_of_the_file(run: Decode, at: int) -> None:
    data = bytearray(encode("w64", "pcm_s16le", tone(0.2, 8_000), 8_000))
    data[at : at + 8] = b"\xff" * 7 + b"\x7f"  # chunk sizes are 64 bits wide
    with contextlib.suppress(NotMedia, NoAudioStream, AudioUnsupported):
        assert run(bytes(data))[0].samples


@pytest.mark.parametrize("demuxer", ["concat", "hls"])
def test_no_container_can_open_another_file(demuxer: str, tmp_path: Path) -> None:
    # Even when a playlist's own demuxer is forced, which sniffing never allows, it finds no way to open anything.
    target = tmp_path / "secret.wav"
    target.write_bytes(wav(np.zeros(16_000, np.int16)))
    playlist = {
        "concat": f"ffconcat version 1.0\nfile 'file:{target}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{target}\n#EXT-X-ENDLIST\n",
    }[demuxer]
    with pytest.raises(NotMedia, match=r"may not open other files|not permitted"):
        module._open(io.BytesIO(playlist.encode()), demuxer)


def test_video_decoders_stay_closed() -> None:
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as log, module._open(io.BytesIO(video()), MOV) as container:
            assert len(container.streams.video) == 1
    finally:
        av.logging.set_level(None)
    assert any("(mpeg4) not on whitelist" in message for _, _, message in log)


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    # A fresh process for each length: the high-water mark of a process cannot be reset.
    script = (
        "import resource, sys; from consumer.audio.decode import *;"
        "source, output = open(sys.argv[1], 'rb'), open(sys.argv[1] + '.pcm', 'wb');"
        "decode(Request(source, (output,), False, 9999, 16, (4_000, 384_000))); output.close();"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for minutes in (1, 40):
        source = tmp_path / f"{minutes}.wav"
        samples = minutes * 60 * 8_000
        with source.open("wb") as file:
            file.write(wav_header(samples * 2, 8_000))
            file.truncate(44 + samples * 2)
        done = subprocess.run([sys.executable, "-c", script, str(source)], check=True, capture_output=True, text=True)
        assert Path(f"{source}.pcm").stat().st_size == samples * 4
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 20_000  # KiB; 40 minutes decoded are 75 MiB


def test_real_recordings(run: Decode, real_data: Path) -> None:
    report, (track,) = run((real_data / "audio" / "asr_example.wav").read_bytes())
    _, (lossy,) = run((real_data / "audio" / "asr_example.mp3").read_bytes())
    assert report.sample_rate == 16_000
    assert len(lossy) == pytest.approx(len(track), abs=1_600)
    assert np.corrcoef(track[:80_000], lossy[:80_000])[0, 1] > 0.95
