"""The policy of docs/security.md is enough, and each part of it is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from consumer.errors import ObjectForbidden, TranscriptBucketForbidden
from consumer.events.recording import Recording
from consumer.settings import LimitSettings, StorageSettings
from consumer.storage.objects import ObjectFetcher
from consumer.storage.spool import Spool
from consumer.storage.transcripts import TranscriptStore
from tests.integration.shell import tingxie
from tests.servers import VersityGateway
from tests.unit.transcript.speech import span, transcript_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
USER, SECRET = "tingxie", "what-nobody-may-see"
AUDIO, TRANSCRIPTS, OTHER = "audio-in", "transcripts", "other"


def documented() -> list[dict[str, Any]]:
    """The statements of the page's policy."""
    (policy,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    statements: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return statements


STATEMENTS = documented()


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage, its owner, and the service's two hands in it."""

    owner: S3Client
    settings: StorageSettings
    objects: ObjectFetcher
    store: TranscriptStore

    def permit(self, statements: list[dict[str, Any]]) -> None:
        """Let the user do what the statements say: as policies of buckets, since this storage knows none of users."""
        for bucket in (AUDIO, TRANSCRIPTS):
            own = []
            for statement in statements:
                arns = [
                    arn
                    for arn in as_list(statement["Resource"])
                    if arn.removeprefix("arn:aws:s3:::").split("/")[0] == bucket
                ]
                if arns:
                    own.append({**statement, "Principal": {"AWS": [USER]}, "Resource": arns})
            if own:
                policy = {"Version": "2012-10-17", "Statement": own}
                self.owner.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


@pytest.fixture
def storage(tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[Storage]:
    with ExitStack() as stack:
        gateway = stack.enter_context(VersityGateway(users={USER: SECRET}))
        owner = s3(gateway.endpoint_url)
        for bucket in (AUDIO, TRANSCRIPTS, OTHER):
            owner.create_bucket(Bucket=bucket)
            owner.put_object(Bucket=bucket, Key="a.wav", Body=b"audio")
        settings = StorageSettings.model_validate(
            {
                "endpoint_url": gateway.endpoint_url,
                "path_style": True,
                "access_key_id": USER,
                "secret_access_key": SECRET,
                "allowed_buckets": (AUDIO,),
                "transcript_bucket": TRANSCRIPTS,
            }
        )
        spool = stack.enter_context(Spool(tmp_path / "spool"))
        objects = stack.enter_context(closing(ObjectFetcher(settings, LimitSettings(), spool)))
        store = stack.enter_context(closing(TranscriptStore(settings, connections=1)))
        yield Storage(owner, settings, objects, store)


def test_the_pages_policy_is_enough_and_permits_nothing_else(storage: Storage) -> None:
    storage.permit(STATEMENTS)
    assert storage.objects.fetch(Recording(bucket=AUDIO, key="a.wav")).size == 5
    storage.objects.check_bucket(AUDIO)
    storage.store.check_bucket()
    assert storage.store.store(transcript_of([span("你 好")])).uri.startswith(f"s3://{TRANSCRIPTS}/transcripts/")
    with pytest.raises(ObjectForbidden, match=f"{OTHER}/a.wav: the storage denies it"):
        storage.objects.fetch(Recording(bucket=OTHER, key="a.wav"))
    client = storage.objects._client
    for forbidden in (
        lambda: client.put_object(Bucket=AUDIO, Key="b.wav", Body=b"x"),
        lambda: client.delete_object(Bucket=AUDIO, Key="a.wav"),
        lambda: client.put_object(Bucket=TRANSCRIPTS, Key="elsewhere", Body=b"x"),
        lambda: client.get_object(Bucket=TRANSCRIPTS, Key="a.wav"),
        lambda: client.delete_object(Bucket=TRANSCRIPTS, Key="a.wav"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            forbidden()


def test_each_statement_is_needed(storage: Storage) -> None:
    reading, listing, writing = STATEMENTS
    storage.permit([listing, writing])
    with pytest.raises(ObjectForbidden):
        storage.objects.fetch(Recording(bucket=AUDIO, key="a.wav"))
    storage.permit([reading, writing])
    with pytest.raises(ObjectForbidden):
        storage.objects.check_bucket(AUDIO)
    with pytest.raises(TranscriptBucketForbidden):
        storage.store.check_bucket()
    storage.permit([reading, listing])
    with pytest.raises(TranscriptBucketForbidden, match=r"storage\.transcript_bucket"):
        storage.store.store(transcript_of([span("你 好")]))


def test_check_names_a_wrong_key_and_tells_no_secret(storage: Storage, tmp_path: Path) -> None:
    environment = {
        "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TINGXIE_KAFKA__STARTUP_TIMEOUT_S": "1",
        "TINGXIE_STORAGE__ENDPOINT_URL": str(storage.settings.endpoint_url),
        "TINGXIE_STORAGE__PATH_STYLE": "true",
        "TINGXIE_STORAGE__ALLOWED_BUCKETS": AUDIO,
        "TINGXIE_STORAGE__ACCESS_KEY_ID": USER,
        "TINGXIE_LIMITS__SPOOL_DIR": str(tmp_path / "spool"),
    }
    _, out, err = tingxie(environment | {"TINGXIE_STORAGE__SECRET_ACCESS_KEY": f"not-{SECRET}"}, "check", "--no-model")
    (line,) = [line for line in out.splitlines() if line.split()[1] == "bucket"]
    assert line.startswith("FAIL")
    assert "storage.secret_access_key" in line
    assert SECRET not in out + err
