from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.audio.sniff import MAGIC, WINDOW, adts_frame, mpeg_frame, sniff
from consumer.errors import NotMedia
from tests.unit.audio.media import encode, tone

MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes

STRANGERS = {
    "text": b"This is a letter, and no recording.\n" * 50,
    "utf-16": "not audio\n".encode("utf-16") * 100,
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "json": b'{"error": "NoSuchKey"}',
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:1/a.wav\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "png": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "pdf": b"%PDF-1.7\n" + bytes(500),
    "zip": b"PK\x03\x04" + bytes(500),
    "avi": b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(500),
    "webp": b"RIFF\x00\x10\x00\x00WEBPVP8 " + bytes(500),
    "mpeg-ts": (b"\x47\x40\x00\x10" + bytes(184)) * 20,
    "one mp3 frame and then text": MP3_FRAME + b"not a frame " * 100,
    "tag before text": b"ID3\x04\x00\x00\x00\x00\x00\x05xxxxx#EXTM3U\nhttp://127.0.0.1/\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_recording(name: str) -> None:
    with pytest.raises(NotMedia, match="no kind that can be decoded"):
        sniff(io.BytesIO(STRANGERS[name]))


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
        (b"FORM\x00\x00\x00\x20AIFF", "aiff"),
        (b"FORM\x00\x00\x00\x20AIFC", "aiff"),
        (b".snd\x00\x00\x00\x18", "au"),
        (b"fLaC\x00\x00\x00\x22", "flac"),
        (b"ID3\x03\x00\x00\x00\x00\x00\x02xxfLaC\x00\x00\x00\x22", "flac"),
        (b"OggS\x00\x02", "ogg"),
        (b"\x1aE\xdf\xa3\x9f", "matroska,webm"),
        (b"#!AMR\n\x3c", "amr"),
        (b"#!AMR-WB\n\x04", "amr"),
        (b"\x00\x00\x00\x20ftypM4A ", "mov,mp4,m4a,3gp,3g2,mj2"),
        (b"\x00\x00\x00\x0aftyp\n\r", "mov,mp4,m4a,3gp,3g2,mj2"),
        (MP3_FRAME * 2, "mp3"),
        (bytes(5_000) + MP3_FRAME * 4, "mp3"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x05xxxxx" + MP3_FRAME, "mp3"),
        (b"ID3\x04\x00\x10\x00\x00\x00\x05xxxxx3DI\x04\x00\x10\x00\x00\x00\x05" + MP3_FRAME, "mp3"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x05xxxxx" * 3 + MP3_FRAME, "mp3"),
    ],
)
def test_first_bytes(head: bytes, demuxer: str) -> None:
    assert sniff(io.BytesIO(head)) == demuxer


@pytest.mark.parametrize(
    ("container", "codec", "rate", "demuxer"),
    [
        ("mp3", "libmp3lame", 44_100, "mp3"),
        ("mp3", "libmp3lame", 22_050, "mp3"),
        ("mp3", "libmp3lame", 8_000, "mp3"),
        ("mp2", "mp2", 48_000, "mp3"),
        ("mp2", "mp2", 22_050, "mp3"),
        ("adts", "aac", 44_100, "aac"),
    ],
)
def test_streams_that_begin_in_the_middle_of_a_frame(container: str, codec: str, rate: int, demuxer: str) -> None:
    data = encode(container, codec, tone(2.0, rate), rate)
    for start in range(1, len(data) // 3, 97):
        assert sniff(io.BytesIO(data[start:])) == demuxer


def test_a_file_of_nothing_but_tags_is_given_up_soon() -> None:
    class Counting(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(size)

    file = Counting(b"ID3\x04\x00\x00\x00\x00\x00\x00" * 100_000 + MP3_FRAME)
    with pytest.raises(NotMedia):
        sniff(file)
    assert file.reads < 100


def test_a_tag_larger_than_the_window() -> None:
    size = WINDOW * 2
    tag = b"ID3\x04\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    assert sniff(io.BytesIO(tag + MP3_FRAME * 2)) == "mp3"


@given(st.binary(max_size=3_000))
def test_random_bytes_never_surprise(data: bytes) -> None:
    with contextlib.suppress(NotMedia):
        assert sniff(io.BytesIO(data)) in {*(demuxer for _, demuxer in MAGIC), "mp3", "aac"}


@given(st.binary(max_size=12), st.integers(0, 14))
def test_frames_have_a_length_that_goes_on(data: bytes, at: int) -> None:
    for parse in (mpeg_frame, adts_frame):
        frame = parse(b"\xff" + data, at)
        assert frame is None or frame.length > 4
