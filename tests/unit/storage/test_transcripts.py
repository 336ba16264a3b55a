"""Storing transcripts in a real HTTP S3, and in one that fails."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import boto3
import pytest

from consumer.errors import (
    CredentialsRefused,
    TingxieError,
    TranscriptBucketForbidden,
    TranscriptBucketMissing,
    TranscriptNotStored,
)
from consumer.events.stored import document
from consumer.settings import StorageSettings
from consumer.storage.transcripts import TranscriptStore
from tests.unit.storage.faulty import FaultyStorage, answer
from tests.unit.transcript.speech import span, transcript_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MakeStore = Callable[..., TranscriptStore]
TRANSCRIPT = transcript_of([span("你 好。")])


@pytest.fixture
def make_store(session: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeStore]:
    """Make stores for an address: ``make_store(url, bucket, read_timeout_s=…)``."""
    stores: list[TranscriptStore] = []
    monkeypatch.setattr(boto3.session, "Session", lambda: session)

    def make(url: str, bucket: str, *, read_timeout_s: float = 20.0) -> TranscriptStore:
        storage = StorageSettings.model_validate(
            {
                "endpoint_url": url,
                "path_style": True,
                "access_key_id": "key",
                "secret_access_key": "secret",
                "transcript_bucket": bucket,
                "transcript_prefix": "long/",
                "read_timeout_s": read_timeout_s,
            }
        )
        stores.append(TranscriptStore(storage, connections=1))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def test_a_repeat_leaves_one_object(make_store: MakeStore, moto_url: str, client: S3Client, calls: str) -> None:
    store = make_store(moto_url, calls)
    store.check_bucket()
    first, second = store.store(TRANSCRIPT), store.store(TRANSCRIPT)
    assert first == second
    (item,) = client.list_objects_v2(Bucket=calls)["Contents"]
    assert first.uri == f"s3://{calls}/{item['Key']}"
    assert item["Key"] == f"long/{first.sha256}.json"
    found = client.get_object(Bucket=calls, Key=item["Key"])
    body = found["Body"].read()
    assert found["ContentType"] == "application/json"
    assert body == document(TRANSCRIPT).body
    assert (len(body), hashlib.sha256(body).hexdigest()) == (first.size, first.sha256)


def test_the_storage_is_told_how_to_check_what_arrives(make_store: MakeStore, faulty: FaultyStorage) -> None:
    faulty.fault = answer(200)
    make_store(faulty.url, "transcripts").store(TRANSCRIPT)
    (headers,) = faulty.requests
    md5 = hashlib.md5(document(TRANSCRIPT).body, usedforsecurity=False).digest()
    assert headers["content-md5"] == base64.b64encode(md5).decode()


@pytest.mark.parametrize("bucket", ["no-such-bucket-here", "not a bucket"])
def test_a_missing_bucket_is_named_with_its_setting(make_store: MakeStore, moto_url: str, bucket: str) -> None:
    store = make_store(moto_url, bucket)
    for ask in (lambda: store.store(TRANSCRIPT), store.check_bucket):
        with pytest.raises(TranscriptBucketMissing, match=f"{bucket}.*storage.transcript_bucket") as caught:
            ask()
        assert caught.value.stage == "store"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "NoSuchBucket", TranscriptBucketMissing),
        (403, "AccessDenied", TranscriptBucketForbidden),
        (400, "EntityTooLarge", TranscriptBucketForbidden),
        (403, "InvalidAccessKeyId", CredentialsRefused),
        (500, "InternalError", TranscriptNotStored),
        (503, "SlowDown", TranscriptNotStored),
        (429, "", TranscriptNotStored),
    ],
)
def test_answers(
    make_store: MakeStore, faulty: FaultyStorage, status: int, code: str, error: type[TingxieError]
) -> None:
    faulty.fault = answer(status, code)
    with pytest.raises(error):
        make_store(faulty.url, "transcripts").store(TRANSCRIPT)
    assert len(faulty.requests) == 1, "the pipeline tries again, not the client"


def test_silence_and_a_reset_may_pass(make_store: MakeStore, faulty: FaultyStorage) -> None:
    store = make_store(faulty.url, "transcripts", read_timeout_s=0.2)
    faulty.stall()
    with pytest.raises(TranscriptNotStored, match="in time"):
        store.store(TRANSCRIPT)
    faulty.break_off(reset=True)
    with pytest.raises(TranscriptNotStored):
        store.store(TRANSCRIPT)
    with pytest.raises(TranscriptNotStored):
        make_store("http://127.0.0.1:1", "transcripts").store(TRANSCRIPT)
