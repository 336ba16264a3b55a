"""A bucket that publishes its own upload events to Kafka: Versity S3 Gateway over a folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.servers.cache import ServerError, install_go
from tests.servers.process import Server, ServerProcess, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSION = "1.8.0"
NAME = f"versitygw-{VERSION}"
PACKAGE = f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"

HEALTH_PATH = "/health"
START_S = 30.0


def install() -> Path:
    """The gateway's program, built by Go when absent (1 to 5 minutes, 60 MB).

    Raises:
        ServerError: Go is missing or the build failed.
    """
    return install_go(NAME, PACKAGE)


class VersityGateway(Server):
    """A gateway on a free loopback port; what it stores lies in a temporary folder.

    Args:
        kafka: ``host:port`` of the broker its events go to; the topic must exist. None: it emits no events.
        topic: topic of the events.
        events: event filter, name to whether it is emitted; by default objects that were created.
        objects: folder of the objects, when another gateway serves it, too; None: one of its own.
        users: secret keys by access key, of users who may do only what a bucket's policy says; ``access_key`` may all.
    """

    access_key = "tingxie-test"
    secret_key = "tingxie-test-secret"
    region = "us-east-1"

    def __init__(
        self,
        kafka: str | None = None,
        topic: str = "audio-uploaded",
        events: dict[str, bool] | None = None,
        objects: Path | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(NAME, "tingxie-bucket-")
        self.topic = topic
        self._kafka = kafka
        self.events = {"s3:ObjectCreated:*": True} if events is None else events
        self.objects = objects or self._folder / "objects"
        self._users = dict(users or {})
        self._port = 0

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @classmethod
    def client(cls, endpoint_url: str, **config: Any) -> S3Client:
        """A client with all permissions.

        Args:
            endpoint_url: of a gateway, or of a proxy before it.
            config: time-outs, retries and whatever else botocore's ``Config`` takes.
        """
        return boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=cls.region,
            aws_access_key_id=cls.access_key,
            aws_secret_access_key=cls.secret_key,
            config=Config(s3={"addressing_style": "path"}, **config),
        )

    def start(self) -> None:
        """Start the gateway and return when it is healthy; a second start keeps port and objects.

        Raises:
            ServerError: it did not come up; the message ends with its log.
        """
        program = install()
        self.objects.mkdir(exist_ok=True)
        if self._port == 0:
            (self._port,) = free_ports(1)
        command = [str(program), "--port", f"127.0.0.1:{self._port}", "--health", HEALTH_PATH, "--region", self.region]
        if self._kafka is not None:
            event_filter = self._folder / "events.json"
            event_filter.write_text(json.dumps(self.events))
            command += ["--event-kafka-url", self._kafka, "--event-kafka-topic", self.topic]
            command += ["--event-filter", str(event_filter)]
        accounts = self._folder / "accounts"
        if self._users:
            command += ["--iam-dir", str(accounts)]
        first = not accounts.exists()
        accounts.mkdir(exist_ok=True)
        credentials = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        self._process = ServerProcess(NAME, [*command, "posix", str(self.objects)], self._log, credentials)
        self._process.wait_until(self._healthy, START_S)
        for access_key, secret_key in self._users.items() if first else ():
            self._create_user(program, access_key, secret_key)

    def _create_user(self, program: Path, access_key: str, secret_key: str) -> None:
        root = ["--access", self.access_key, "--secret", self.secret_key, "--endpoint-url", self.endpoint_url]
        user = ["--access", access_key, "--secret", secret_key, "--role", "user"]
        done = subprocess.run(
            [str(program), "admin", *root, "create-user", *user], capture_output=True, check=False, timeout=START_S
        )
        if done.returncode != 0:
            raise ServerError(f"{NAME} did not create the user {access_key}: {done.stderr.decode()}")

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=2.0)
        try:
            connection.request("GET", HEALTH_PATH)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
