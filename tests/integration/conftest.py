"""What the tests of the whole service and of its commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Topics
from tests.integration.world import World, open_world
from tests.servers import KafkaServer
from tests.servers.settings import kafka_settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def environment(kafka: KafkaServer, topics: Topics) -> dict[str, str]:
    """Settings of a command that only reads and writes topics."""
    return {**kafka_settings(kafka.bootstrap_servers, topics), "TINGXIE_KAFKA__STARTUP_TIMEOUT_S": "20"}


@pytest.fixture
def world(kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    """Topics, bucket and group of one test."""
    with open_world(kafka, demo_models, tmp_path, s3) as world:
        yield world
