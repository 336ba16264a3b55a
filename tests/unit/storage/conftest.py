"""A real HTTP S3 (moto), a broken one, and a spool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from moto.server import ThreadedMotoServer

from consumer.settings import LimitSettings, StorageSettings
from consumer.storage.objects import ObjectFetcher
from consumer.storage.spool import Spool
from tests.unit.storage.faulty import FaultyStorage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MakeFetcher = Callable[..., ObjectFetcher]


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Address of an S3 that accepts any credentials."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(moto_url: str, session: boto3.session.Session) -> Iterator[S3Client]:
    client = session.client(
        "s3", endpoint_url=moto_url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    yield client
    client.close()


@pytest.fixture
def calls(client: S3Client, unique_name: Callable[[str], str]) -> str:
    """Name of an empty bucket."""
    name = unique_name("calls")
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def faulty() -> Iterator[FaultyStorage]:
    with FaultyStorage() as server:
        yield server


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as spool:
        yield spool


@pytest.fixture(scope="session")
def session() -> boto3.session.Session:
    """What reads the library's large service descriptions, once for all tests."""
    return boto3.session.Session()


@pytest.fixture
def make_fetcher(
    spool: Spool, session: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeFetcher]:
    """Make fetchers for an address: ``make_fetcher(url, object_bytes=…, read_timeout_s=…)``."""
    fetchers: list[ObjectFetcher] = []
    monkeypatch.setattr(boto3.session, "Session", lambda: session)

    def make(
        url: str, *, object_bytes: int = 1 << 30, read_timeout_s: float = 20.0, fetch_seconds: float = 60.0
    ) -> ObjectFetcher:
        storage = StorageSettings.model_validate(
            {
                "endpoint_url": url,
                "path_style": True,
                "access_key_id": "key",
                "secret_access_key": "secret",
                "read_timeout_s": read_timeout_s,
                "connect_timeout_s": 5,
            }
        )
        limits = LimitSettings(object_bytes=object_bytes, fetch_seconds=fetch_seconds)
        fetchers.append(ObjectFetcher(storage, limits, spool))
        return fetchers[-1]

    yield make
    for fetcher in fetchers:
        fetcher.close()


@pytest.fixture
def fetcher(make_fetcher: MakeFetcher, moto_url: str) -> ObjectFetcher:
    return make_fetcher(moto_url)
