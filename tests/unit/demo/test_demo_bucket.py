from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.demo.bucket import embedded_storage, upload_event
from consumer.demo.serving import BUCKET, storage_settings
from consumer.errors import ObjectMissing, UsageError
from consumer.events.parse import parse
from consumer.events.recording import Recording
from consumer.settings import LimitSettings
from consumer.storage.objects import ObjectFetcher
from consumer.storage.spool import Spool
from consumer.storage.upload import Uploaded, Uploader

NOON = datetime(2026, 11, 23, 20, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=8)))


def test_the_event_is_what_aws_sends() -> None:
    event = orjson.loads(upload_event("audio-in", "a b+c/录.wav", Uploaded("d98b", 8), at=NOON, sequence=255))
    (record,) = event["Records"]
    assert record["eventSource"] == "aws:s3"
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["eventTime"] == "2026-11-23T12:00:00.123Z"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::audio-in"
    assert record["s3"]["object"] == {
        "key": "a+b%2Bc/%E5%BD%95.wav",
        "size": 8,
        "eTag": "d98b",
        "sequencer": "0000000000000000FF",
    }


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_the_service_reads_every_key_back(key: str) -> None:
    event = parse(upload_event("audio-in", key, Uploaded("d98b", 8), at=NOON, sequence=1), [])
    assert event.dialect == "s3-aws"
    assert event.recordings == (Recording(bucket="audio-in", key=key, etag="d98b", size=8),)


def test_what_is_uploaded_can_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy and a profile of the user's must not get in the way.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this-one")
    before = dict(os.environ)
    file = tmp_path / "录音 a+b.wav"
    file.write_bytes(b"RIFF" * 1000)
    with embedded_storage() as url, Spool(tmp_path / "spool") as spool:
        settings = storage_settings(url)
        uploader, fetcher = Uploader(settings), ObjectFetcher(settings, LimitSettings(), spool)
        uploader.create_bucket(BUCKET)
        uploaded = uploader.put_object(BUCKET, file.name, file)
        stored = fetcher.fetch(Recording(bucket=BUCKET, key=file.name))
        assert stored.path.read_bytes() == file.read_bytes()
        assert (stored.etag, stored.size) == (uploaded.etag, uploaded.size) == (uploaded.etag, 4000)
        with pytest.raises(ObjectMissing):
            uploader.put_object("no-such-bucket", "x", file)
        with pytest.raises(FileNotFoundError):
            uploader.put_object(BUCKET, "x", tmp_path / "gone.wav")
        uploader.close()
        fetcher.close()
    assert dict(os.environ) == before


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the signature of __import__
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if name.split(".", maxsplit=1)[0] == "moto":
            raise ModuleNotFoundError("No module named 'moto'", name="moto")
        module: ModuleType = real(name, globals, locals, fromlist or (), level)
        return module

    for name in [each for each in sys.modules if each.split(".")[0] == "moto"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"pip install 'tingxie\[demo\]'"), embedded_storage():
        pass
