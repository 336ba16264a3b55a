from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from consumer.demo import uploads
from consumer.demo.broker import EmbeddedBroker, embedded_broker
from consumer.demo.bucket import embedded_storage
from consumer.demo.serving import BUCKET, TOPICS, storage_settings
from consumer.demo.uploads import UploadThread
from consumer.errors import StageDied
from consumer.events.parse import parse
from consumer.events.recording import Recording
from consumer.storage.upload import Uploader
from tests.unit.demo.topics import follow

Told = SimpleQueue[tuple[str, str]]
TIMEOUT_S = 30


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with embedded_broker((TOPICS.uploads,)) as broker:
        yield broker


@pytest.fixture
def told() -> Told:
    return SimpleQueue()


@pytest.fixture
def start(broker: EmbeddedBroker, told: Told) -> Iterator[Callable[[str], UploadThread]]:
    """Starts an upload thread for the storage at a URL; what it tells is in ``told``."""
    with ExitStack() as stack:

        def begin(url: str) -> UploadThread:
            thread = UploadThread(
                Uploader(storage_settings(url)),
                broker,
                bucket=BUCKET,
                topic=TOPICS.uploads,
                uploaded=lambda key: told.put((key, "uploaded")),
                refused=lambda key, why: told.put((key, why)),
            )
            return stack.enter_context(closing(thread))

        yield begin


def test_files_are_uploaded_and_told_of(
    start: Callable[[str], UploadThread],
    told: Told,
    broker: EmbeddedBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 1024**2)
    for name, size in (("a b+c.wav", 10), ("large.wav", 1024**2 + 1), ("录.wav", 20)):
        (tmp_path / name).write_bytes(b"x" * size)
    with embedded_storage() as url:
        thread = start(url)
        for name in ("a b+c.wav", "large.wav", "gone.wav", "录.wav"):
            thread.put(f"calls/{name}", tmp_path / name)
        heard = [told.get(timeout=TIMEOUT_S) for _ in range(4)]
        thread.close()
    assert [key for key, _ in heard] == ["calls/a b+c.wav", "calls/large.wav", "calls/gone.wav", "calls/录.wav"]
    assert [heard[0][1], heard[3][1]] == ["uploaded", "uploaded"]
    assert "more than the 1 MiB that the embedded bucket takes; use tingxie transcribe" in heard[1][1]
    assert "No such file" in heard[2][1]

    recordings: list[Recording] = []
    with closing(follow(broker.address, TOPICS.uploads)) as reader:
        while len(recordings) < 2:
            recordings += [each for record in reader.read() for each in parse(record.value, record.headers).recordings]
    assert {(each.bucket, each.key, each.size) for each in recordings} == {
        (BUCKET, "calls/a b+c.wav", 10),
        (BUCKET, "calls/录.wav", 20),
    }


def test_a_bucket_that_fails_ends_the_demo(start: Callable[[str], UploadThread], tmp_path: Path) -> None:
    with embedded_storage() as url:
        pass
    thread = start(url)

    def watch() -> None:
        while True:
            thread.check()

    with pytest.raises(StageDied, match="uploading to the embedded bucket failed"):
        watch()
    with pytest.raises(StageDied):
        thread.put("a.wav", tmp_path)
