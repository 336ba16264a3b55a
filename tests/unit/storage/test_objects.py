"""Fetching from a real HTTP S3, and from one that fails."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consumer import __version__
from consumer.errors import (
    BucketNotAllowed,
    CredentialsRefused,
    EventInvalid,
    ObjectEmpty,
    ObjectForbidden,
    ObjectMissing,
    ObjectTooLarge,
    SpoolFull,
    StorageTimeout,
    StorageUnavailable,
    TingxieError,
    UsageError,
)
from consumer.events.recording import Recording
from consumer.settings import LimitSettings, StorageSettings
from consumer.storage.objects import CHUNK, ObjectFetcher, check_allowed
from consumer.storage.spool import Spool
from tests.unit.storage.conftest import MakeFetcher
from tests.unit.storage.faulty import FaultyStorage, answer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = [
    "a.wav",
    "calls/2026/a b+c.wav",
    "100%/%41 é.wav",
    "日本 lecture/a b+c&é.wav",
    "a//b/../c?.wav",
    " .wav",
    "x" * 900,
]


def left(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.folder.iterdir() if path.name != "lock")


@pytest.fixture(autouse=True)
def nothing_stays(spool: Spool) -> Iterator[None]:
    """Whatever a test does, an error leaves no file: those that succeed remove what they fetched."""
    yield
    assert left(spool) == []


@pytest.mark.parametrize("key", KEYS)
def test_any_key(fetcher: ObjectFetcher, client: S3Client, calls: str, spool: Spool, key: str) -> None:
    etag = client.put_object(Bucket=calls, Key=key, Body=b"some audio")["ETag"]
    stored = fetcher.fetch(Recording(bucket=calls, key=key))
    assert stored.path.read_bytes() == b"some audio"
    assert (stored.size, stored.etag, stored.version_id) == (10, etag.strip('"'), None)
    assert '"' not in stored.etag
    spool.remove(stored.path)


def test_an_object_of_many_chunks(fetcher: ObjectFetcher, client: S3Client, calls: str, spool: Spool) -> None:
    body = bytes(range(256)) * (CHUNK // 64) + b"tail"
    client.put_object(Bucket=calls, Key="long.wav", Body=body)
    stored = fetcher.fetch(Recording(bucket=calls, key="long.wav"))
    assert stored.path.read_bytes() == body
    spool.remove(stored.path)


def test_many_threads_share_a_fetcher(fetcher: ObjectFetcher, client: S3Client, calls: str, spool: Spool) -> None:
    for n in range(8):
        client.put_object(Bucket=calls, Key=str(n), Body=str(n).encode() * 1_000)
    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(lambda n: fetcher.fetch(Recording(bucket=calls, key=str(n))), range(8)))
    for n, item in enumerate(stored):
        assert item.path.read_bytes() == str(n).encode() * 1_000
        spool.remove(item.path)


def test_versions(fetcher: ObjectFetcher, client: S3Client, calls: str, spool: Spool) -> None:
    client.put_bucket_versioning(Bucket=calls, VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket=calls, Key="a.wav", Body=b"old")["VersionId"]
    new = client.put_object(Bucket=calls, Key="a.wav", Body=b"newer")["VersionId"]
    for version, body in ((old, b"old"), (new, b"newer"), (None, b"newer")):
        stored = fetcher.fetch(Recording(bucket=calls, key="a.wav", version_id=version))
        assert (stored.path.read_bytes(), stored.version_id) == (body, version or new)
        spool.remove(stored.path)
    marker = client.delete_object(Bucket=calls, Key="a.wav")["VersionId"]
    for version in (None, marker, "00000000-no-such-version"):
        with pytest.raises(ObjectMissing):
            fetcher.fetch(Recording(bucket=calls, key="a.wav", version_id=version))


def test_an_overwritten_object_is_fetched_as_it_is_now(
    fetcher: ObjectFetcher, client: S3Client, calls: str, spool: Spool
) -> None:
    first = client.put_object(Bucket=calls, Key="a.wav", Body=b"first")["ETag"].strip('"')
    second = client.put_object(Bucket=calls, Key="a.wav", Body=b"second")["ETag"].strip('"')
    stored = fetcher.fetch(Recording(bucket=calls, key="a.wav", etag=first))
    assert (stored.path.read_bytes(), stored.etag) == (b"second", second)
    spool.remove(stored.path)


@pytest.mark.parametrize(
    ("bucket", "key", "error"),
    [
        ("no-such-bucket-here", "a.wav", ObjectMissing),
        ("calls", "no-such-key", ObjectMissing),
        ("not a bucket", "a.wav", EventInvalid),
        ("a/b", "a.wav", EventInvalid),
        ("arn:aws:s3:::calls", "a.wav", EventInvalid),
        ("", "a.wav", EventInvalid),
        ("calls", "", EventInvalid),
        ("calls", "\ud800", EventInvalid),
    ],
)
def test_names_that_lead_nowhere(
    fetcher: ObjectFetcher, calls: str, bucket: str, key: str, error: type[TingxieError]
) -> None:
    with pytest.raises(error):
        fetcher.fetch(Recording.model_construct(bucket=calls if bucket == "calls" else bucket, key=key))


def test_an_empty_object(fetcher: ObjectFetcher, client: S3Client, calls: str) -> None:
    client.put_object(Bucket=calls, Key="empty.wav", Body=b"")
    with pytest.raises(ObjectEmpty, match=r"empty\.wav: the object has no bytes"):
        fetcher.fetch(Recording(bucket=calls, key="empty.wav"))


def test_the_largest_object(
    make_fetcher: MakeFetcher, moto_url: str, client: S3Client, calls: str, spool: Spool
) -> None:
    fetcher = make_fetcher(moto_url, object_bytes=1_000)
    client.put_object(Bucket=calls, Key="fits", Body=bytes(1_000))
    client.put_object(Bucket=calls, Key="not", Body=bytes(1_001))
    spool.remove(fetcher.fetch(Recording(bucket=calls, key="fits")).path)
    with pytest.raises(ObjectTooLarge, match=r"limits\.object_bytes \(1,000 bytes\)"):
        fetcher.fetch(Recording(bucket=calls, key="not"))


def test_an_object_that_does_not_tell_its_size(make_fetcher: MakeFetcher, faulty: FaultyStorage, spool: Spool) -> None:
    faulty.break_off(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n")
    stored = make_fetcher(faulty.url).fetch(Recording(bucket="calls", key="a.wav"))
    assert stored.path.read_bytes() == b"abcd"
    spool.remove(stored.path)
    with pytest.raises(ObjectTooLarge):
        make_fetcher(faulty.url, object_bytes=3).fetch(Recording(bucket="calls", key="a.wav"))
    faulty.break_off(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    with pytest.raises(ObjectEmpty):
        make_fetcher(faulty.url).fetch(Recording(bucket="calls", key="a.wav"))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (503, "SlowDown", StorageUnavailable),
        (503, "", StorageUnavailable),
        (500, "InternalError", StorageUnavailable),
        (502, "", StorageUnavailable),
        (429, "", StorageUnavailable),
        (403, "AccessDenied", ObjectForbidden),
        (403, "InvalidObjectState", ObjectForbidden),
        (403, "InvalidAccessKeyId", CredentialsRefused),
        (403, "SignatureDoesNotMatch", CredentialsRefused),
        (400, "ExpiredToken", CredentialsRefused),
        (401, "", CredentialsRefused),
        (404, "NoSuchKey", ObjectMissing),
        (404, "", ObjectMissing),
        (405, "MethodNotAllowed", ObjectMissing),
        (418, "Teapot", ObjectForbidden),
    ],
)
def test_answers_of_a_storage_and_that_none_is_asked_for_twice(
    make_fetcher: MakeFetcher, faulty: FaultyStorage, status: int, code: str, error: type[TingxieError]
) -> None:
    faulty.fault = answer(status, code)
    with pytest.raises(error, match=r"calls/a\.wav"):
        make_fetcher(faulty.url).fetch(Recording(bucket="calls", key="a.wav"))
    assert len(faulty.requests) == 1


def test_an_answer_that_is_no_xml(make_fetcher: MakeFetcher, faulty: FaultyStorage) -> None:
    faulty.fault = answer(500, body=b"<html>nginx & co")
    with pytest.raises(StorageUnavailable):
        make_fetcher(faulty.url).fetch(Recording(bucket="calls", key="a.wav"))


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab",
    ],
    ids=["nothing", "half a header", "no body", "half a body", "half a chunk"],
)
def test_connections_that_break(make_fetcher: MakeFetcher, faulty: FaultyStorage, before: bytes, reset: bool) -> None:
    faulty.break_off(before, reset=reset)
    with pytest.raises(StorageUnavailable):
        make_fetcher(faulty.url).fetch(Recording(bucket="calls", key="a.wav"))


@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"], ids=["no answer", "half a body"]
)
def test_a_storage_that_falls_silent(make_fetcher: MakeFetcher, faulty: FaultyStorage, before: bytes) -> None:
    faulty.stall(before)
    with pytest.raises(StorageTimeout):
        make_fetcher(faulty.url, read_timeout_s=0.3).fetch(Recording(bucket="calls", key="a.wav"))


def test_a_download_that_takes_too_long(make_fetcher: MakeFetcher, faulty: FaultyStorage) -> None:
    faulty.trickle(1000 * CHUNK, bytes(CHUNK), pause_s=0.02)
    with pytest.raises(StorageTimeout, match=r"calls/a\.wav: only \d+ bytes came within limits\.fetch_seconds"):
        make_fetcher(faulty.url, fetch_seconds=0.1).fetch(Recording(bucket="calls", key="a.wav"))


def test_nobody_listens(make_fetcher: MakeFetcher) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(StorageUnavailable):
        make_fetcher(url).fetch(Recording(bucket="calls", key="a.wav"))


def test_trouble_that_passes(make_fetcher: MakeFetcher, faulty: FaultyStorage, spool: Spool) -> None:
    fetcher = make_fetcher(faulty.url)
    for _ in range(2):
        faulty.fault = answer(503, "SlowDown")
        with pytest.raises(StorageUnavailable):
            fetcher.fetch(Recording(bucket="calls", key="a.wav"))
    faulty.fault = answer(200, body=b"audio")
    spool.remove(fetcher.fetch(Recording(bucket="calls", key="a.wav")).path)


def test_a_full_disk(tmp_path: Path, moto_url: str, client: S3Client, calls: str) -> None:
    class Full(Spool):
        def new_path(self, suffix: str = "") -> Path:
            path = super().new_path(suffix)
            path.symlink_to("/dev/full")
            return path

    client.put_object(Bucket=calls, Key="a.wav", Body=bytes(100_000))
    storage = StorageSettings.model_validate(
        {"endpoint_url": moto_url, "path_style": True, "access_key_id": "key", "secret_access_key": "secret"}
    )
    with Full(tmp_path / "full") as spool:
        fetcher = ObjectFetcher(storage, LimitSettings(), spool)
        with pytest.raises(SpoolFull, match=r"limits\.spool_dir"):
            fetcher.fetch(Recording(bucket=calls, key="a.wav"))
        assert left(spool) == []
        fetcher.close()


def test_requests_are_signed_for_the_region_and_name_this_program(
    make_fetcher: MakeFetcher, faulty: FaultyStorage
) -> None:
    with pytest.raises(StorageUnavailable):
        make_fetcher(faulty.url).fetch(Recording(bucket="calls", key="a.wav"))
    (headers,) = faulty.requests
    assert f"tingxie/{__version__}" in headers["user-agent"]
    assert "/us-east-1/s3/aws4_request" in headers["authorization"]
    assert "x-amz-checksum-mode" not in headers  # which many storages do not know


def test_no_credentials_anywhere(spool: Spool, moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    fetcher = ObjectFetcher(StorageSettings(endpoint_url=moto_url), LimitSettings(), spool)
    with pytest.raises(CredentialsRefused, match=r"storage\.access_key_id"):
        fetcher.fetch(Recording(bucket="calls", key="a.wav"))
    fetcher.close()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"access_key_id": "key"}, r"storage\.secret_access_key"),
        ({"secret_access_key": "hush"}, r"storage\.access_key_id"),
        ({"endpoint_url": "not a url"}, r"storage\.endpoint_url"),
        ({"endpoint_url": "http://"}, r"storage\.endpoint_url"),
        ({"region": "no region!"}, "storage settings"),
    ],
)
def test_settings_that_cannot_be(spool: Spool, settings: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        ObjectFetcher(StorageSettings.model_validate(settings), LimitSettings(), spool)
    assert "hush" not in str(caught.value)


def test_keys_of_a_prefix(fetcher: ObjectFetcher, client: S3Client, calls: str) -> None:
    for key in ["in/b.wav", "in/a b+c.wav", "in/sub/d.wav", "in/folder/", "other.wav"]:
        client.put_object(Bucket=calls, Key=key, Body=b"x")
    assert list(fetcher.keys(calls, "in/")) == ["in/a b+c.wav", "in/b.wav", "in/sub/d.wav"]
    assert len(list(fetcher.keys(calls))) == 4
    assert list(fetcher.keys(calls, "nothing")) == []
    with pytest.raises(ObjectMissing):
        list(fetcher.keys("no-such-bucket-here"))


def test_checking_a_bucket(
    fetcher: ObjectFetcher, make_fetcher: MakeFetcher, faulty: FaultyStorage, calls: str
) -> None:
    fetcher.check_bucket(calls)
    with pytest.raises(ObjectMissing, match="bucket no-such-bucket-here"):
        fetcher.check_bucket("no-such-bucket-here")
    faulty.fault = answer(403)
    with pytest.raises(ObjectForbidden):
        make_fetcher(faulty.url).check_bucket("calls")


def test_allowed_buckets() -> None:
    recording = Recording(bucket="calls", key="a.wav")
    check_allowed(recording, ())
    check_allowed(recording, ("calls", "other"))
    with pytest.raises(BucketNotAllowed, match=r"calls/a\.wav: .* storage\.allowed_buckets \(b, other\)"):
        check_allowed(recording, ("other", "b"))


@pytest.mark.parametrize(
    "bucket",
    [
        "arn:aws:s3:us-east-1:123456789012:accesspoint:evil",
        "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap",
        "evil--use1-az1--x-s3",
        "evil--op-s3",
        "..",
        ".",
        "-b",
        "user@host",
        "b#",
        "b?",
        "b\n",
        "",
    ],
)
def test_what_makes_the_client_ask_another_host_must_be_allowed_by_name(bucket: str) -> None:
    recording = Recording(bucket=bucket, key="a.wav")
    with pytest.raises(BucketNotAllowed, match=r"storage\.allowed_buckets"):
        check_allowed(recording, ())
    check_allowed(recording, (bucket,))


@pytest.mark.parametrize("bucket", ["calls", "calls.2026", "Calls_2026", "0-1", "x-s3", "a--b", "my-point-s3alias"])
def test_plain_names_of_buckets_are_allowed_by_no_names(bucket: str) -> None:
    check_allowed(Recording(bucket=bucket, key="a.wav"), ())


@pytest.mark.parametrize("key", ["..", "../b/a.wav", "a/../../b/a.wav", "./../a", "/../a", "a/b/../../.."])
def test_a_key_that_leads_out_of_its_bucket_is_not_asked_for(make_fetcher: MakeFetcher, key: str) -> None:
    fetcher = make_fetcher("http://127.0.0.1:1")  # an answer of this storage would be `StorageUnavailable`
    with pytest.raises(EventInvalid, match="leads out of its bucket"):
        fetcher.fetch(Recording(bucket="calls", key=key))


@pytest.mark.parametrize("key", ["a/../b.wav", "a/b/../../c.wav", "..a.wav", "a..", "a/..b/c", "...", ".", "a/./b"])
def test_a_key_that_stays_in_its_bucket_is_asked_for(make_fetcher: MakeFetcher, key: str) -> None:
    with pytest.raises(StorageUnavailable):
        make_fetcher("http://127.0.0.1:1").fetch(Recording(bucket="calls", key=key))
