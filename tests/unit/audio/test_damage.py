from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.audio.damage import Damage, cut_file, cut_packet


def test_nothing_wrong_says_nothing() -> None:
    damage = Damage()
    damage.ended(9.8, 10.0)
    damage.ended(5.0, 0.0)
    assert damage.warnings() == ()


def test_each_kind_of_damage_is_told() -> None:
    damage = Damage()
    damage.refused("first")
    damage.refused("second")
    damage.filled(0.5)
    damage.filled(1.5)
    damage.ended(8.0, 10.0)
    assert damage.warnings() == (
        "the audio is damaged: packets that could not be decoded: 2 (first)",
        "the audio has gaps: 2.0 s were filled with silence, in places: 2",
        "the audio ends early: 8.0 of 10.0 s are there",
    )


@pytest.mark.parametrize(
    ("demuxer", "data", "cut"),
    [
        ("wav", b"RIFF\x10\x00\x00\x00WAVE" + bytes(12), False),
        ("wav", b"RIFF\x20\x00\x00\x00WAVE" + bytes(12), True),
        ("wav", b"RIFF\xff\xff\xff\xffWAVE" + bytes(12), False),  # written to a pipe
        ("wav", b"RF64\xff\xff\xff\xffWAVE" + bytes(12), False),
        ("aiff", b"FORM\x00\x00\x00\x10AIFF" + bytes(12), False),
        ("aiff", b"FORM\x00\x00\x00\x20AIFF" + bytes(12), True),
        ("ogg", b"OggS\x00" + bytes(21) + b"\x02\x03\x01" + b"abcd", False),
        ("ogg", b"OggS\x00" + bytes(21) + b"\x02\x03\x01" + b"abc", True),
        ("ogg", b"OggS\x00" + bytes(10), True),
        ("flac", b"fLaC", False),
    ],
)
def test_files_that_were_cut_off(demuxer: str, data: bytes, cut: bool) -> None:
    assert bool(cut_file(io.BytesIO(data), demuxer)) == cut


def test_frames_that_were_cut_off() -> None:
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    assert not cut_packet(frame, "mp3")
    assert cut_packet(frame[:-1], "mp3")
    assert not cut_packet(b"TAG" + bytes(125), "mp3")
    assert not cut_packet(frame[:-1], "flac")


@given(st.sampled_from(["wav", "aiff", "ogg", "mp3", "aac"]), st.sampled_from([b"", b"OggS\x00"]), st.binary())
def test_any_bytes_will_do(demuxer: str, head: bytes, data: bytes) -> None:
    assert isinstance(cut_file(io.BytesIO(head + data), demuxer), str)
    assert isinstance(cut_packet(head + data, demuxer), str)
