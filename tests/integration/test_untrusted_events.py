"""What an event says is data: it opens no file, no connection, and no bucket but those that are allowed."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from consumer.demo.assets import SAMPLES
from tests.integration.world import BUCKET, World

SAMPLE = SAMPLES / "dictation 22k.wav"
SECRET_BUCKET = "private"
CANARY = "words-of-a-file-that-nobody-may-read"


@pytest.fixture
def world(world: World) -> World:
    world.s3.create_bucket(Bucket=SECRET_BUCKET)
    world.s3.put_object(Bucket=SECRET_BUCKET, Key="a.wav", Body=SAMPLE.read_bytes())
    return world


@dataclass(frozen=True, slots=True)
class Bait:
    """An address and a file that nobody may touch.

    A connection would stay in the backlog; who opens a pipe for reading waits for somebody who writes.
    """

    listener: socket.socket
    pipe: Path
    file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/words.txt"

    def check_untouched(self) -> None:
        with suppress(BlockingIOError):
            self.listener.accept()[0].close()
            pytest.fail("somebody has connected")
        with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):  # nobody has opened it for reading
            os.close(os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK))


@pytest.fixture
def bait() -> Iterator[Bait]:
    with TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        pipe, file = Path(folder) / "words.txt", Path(folder) / "canary.txt"  # short enough for a hotword
        os.mkfifo(pipe)
        file.write_text(CANARY)
        listener.setblocking(False)
        yield Bait(listener, pipe, file)


def test_the_bait_notices(bait: Bait) -> None:
    bait.check_untouched()
    with socket.create_connection(bait.listener.getsockname()), pytest.raises(pytest.fail.Exception):
        bait.check_untouched()
    with os.fdopen(os.open(bait.pipe, os.O_RDONLY | os.O_NONBLOCK)), pytest.raises(pytest.fail.Exception):
        bait.check_untouched()


def test_options_that_look_like_addresses_and_files_are_words(world: World, bait: Bait) -> None:
    looks = [bait.url, str(bait.pipe), str(bait.file), f"file://{bait.pipe}", "../words.txt", "/etc/passwd"]
    world.s3.put_object(Bucket=BUCKET, Key="plain.wav", Body=SAMPLE.read_bytes())
    world.s3.put_object(Bucket=BUCKET, Key="odd.wav", Body=SAMPLE.read_bytes())
    with world.service() as service:
        for look in looks:
            world.announce("odd.wav", options={"hotwords": looks, "language": look[:35]}, metadata={"look": look})
        odd = world.transcript("odd.wav", count=len(looks) + 1)  # announced by the bucket, too
        plain = world.transcript("plain.wav")
        log = service.log.read_text()
    assert odd.json["text"] == plain.json["text"]
    everything = b"".join(each.value or b"" for each in world.transcripts_read.all())
    assert CANARY not in everything.decode() + log
    bait.check_untouched()


def playlists(bait: Bait) -> dict[str, bytes]:
    """Media that tell the reader to open something else."""
    return {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{bait.url}\n#EXT-X-ENDLIST\n".encode(),
        "list.ffconcat": f"ffconcat version 1.0\nfile '{bait.pipe}'\nfile '{bait.url}'\n".encode(),
        "list.pls": f"[playlist]\nFile1={bait.url}\nNumberOfEntries=1\n".encode(),
        "session.sdp": f"v=0\ns=x\nc=IN IP4 127.0.0.1\nm=audio {bait.listener.getsockname()[1]} RTP/AVP 0\n".encode(),
    }


def test_names_open_nothing_but_objects_of_allowed_buckets(world: World, bait: Bait) -> None:
    for key, body in playlists(bait).items():
        world.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    world.s3.put_object(Bucket=BUCKET, Key="a.wav", Body=SAMPLE.read_bytes())
    with world.service() as service:
        reasons = {key: world.dead_letter_of(key).headers["__dlq.errors.class"] for key in playlists(bait)}
        assert set(reasons.values()) == {"not_media"}, reasons

        def reason(event: dict[str, Any]) -> str:
            place = world.produce(json.dumps({"bucket": BUCKET, "key": "a.wav", **event}).encode())
            return world.dead_letter(*place).headers["__dlq.errors.class"]

        assert reason({"bucket": SECRET_BUCKET}) == "bucket_not_allowed"
        assert reason({"bucket": "arn:aws:s3:us-east-1:123456789012:accesspoint:evil"}) == "bucket_not_allowed"
        for key in (f"../{SECRET_BUCKET}/a.wav", f"a/../../{SECRET_BUCKET}/a.wav", "../../../etc/passwd", ".."):
            assert reason({"key": key}) == "event_invalid"
        for key in (
            "/etc/passwd",
            str(bait.pipe),
            str(bait.file),
            f"file://{bait.pipe}",
            bait.url,
            "a.wav?versionId=1",
        ):
            assert reason({"key": key}) == "object_missing"
        for version in ("../../a.wav", "x&key=b", "x\r\nX-Evil: 1", bait.url, "\x00", "%2e%2e"):
            assert reason({"version_id": version}) == "object_missing"
        assert world.transcript("a.wav").json["status"] == "completed", "it works on"
        log = service.log.read_text()
    asked = {exchange.path for exchange in world.proxy.exchanges}
    assert not [path for path in asked if SECRET_BUCKET in path or ".." in path]
    assert CANARY not in log
    bait.check_untouched()


def test_when_all_buckets_are_allowed_an_event_still_cannot_choose_the_host(world: World) -> None:
    world.s3.put_object(Bucket=BUCKET, Key="a.wav", Body=SAMPLE.read_bytes())
    odd = [
        "arn:aws:s3:us-east-1:123456789012:accesspoint:evil",
        "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap",
        "arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint:evil",
        "evil--use1-az1--x-s3",
        "..",
        "user@127.0.0.1",
    ]
    with world.service(TINGXIE_STORAGE__ALLOWED_BUCKETS="") as service:
        places = [world.produce(json.dumps({"bucket": bucket, "key": "a.wav"}).encode()) for bucket in odd]
        classes = [world.dead_letter(*place).headers["__dlq.errors.class"] for place in places]
        assert classes == ["bucket_not_allowed"] * len(odd)
        world.produce(json.dumps({"bucket": SECRET_BUCKET, "key": "a.wav"}).encode())
        world.transcripts_read.until(lambda seen: any(each.key == b"private/a.wav" for each in seen))
        assert service.process.alive()
