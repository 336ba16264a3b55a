"""The permissions of docs/security.md, and settings of a client that needs them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]

from tests.servers.secure_kafka import SecureKafkaServer
from tests.servers.settings import kafka_settings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Permission:
    """One line of the page's permissions.

    Attributes:
        operation: as the page writes it.
        kind: ``topic`` or ``group``.
        name: by default.
    """

    operation: str
    kind: str
    name: str


def documented() -> list[Permission]:
    """What docs/security.md tells an administrator to allow."""
    lines = re.findall(r"^kafka-acls\.sh .*$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    found = []
    for line in lines:
        words = shlex.split(line)
        kind = "topic" if "--topic" in words else "group"
        found.append(Permission(words[words.index("--operation") + 1], kind, words[words.index(f"--{kind}") + 1]))
    return found


PERMISSIONS = documented()


@dataclass(frozen=True, slots=True)
class Names:
    """What stands for the page's names in one test."""

    uploads: str
    transcripts: str
    dead_letters: str
    group: str

    def of(self, permission: Permission) -> str:
        default = {
            "audio-uploaded": self.uploads,
            "transcript-ready": self.transcripts,
            "audio-uploaded.dead-letter": self.dead_letters,
            "tingxie": self.group,
        }
        return default[permission.name]


def allow(server: SecureKafkaServer, user: str, permission: Permission, name: str) -> None:
    server.allow(user, AclOperation[permission.operation.upper()], ResourceType[permission.kind.upper()], name)


def environment(server: SecureKafkaServer, names: Names, tmp_path: Path, **settings: str) -> dict[str, str]:
    return {
        **kafka_settings(server.sasl_servers, names),
        "TINGXIE_KAFKA__GROUP_ID": names.group,
        "TINGXIE_KAFKA__STARTUP_TIMEOUT_S": "3",
        "TINGXIE_RETRY__DELAYS": "",
        "TINGXIE_STORAGE__ENDPOINT_URL": "http://127.0.0.1:1",
        "TINGXIE_STORAGE__ACCESS_KEY_ID": "me",
        "TINGXIE_STORAGE__SECRET_ACCESS_KEY": "hush-hush",
        "TINGXIE_LIMITS__SPOOL_DIR": str(tmp_path / "spool"),
        "TINGXIE_TELEMETRY__PORT": "0",
        **settings,
    }


def kafka_lines(out: str) -> dict[str, list[str]]:
    """Subjects and lines of what `check` says about the broker."""
    found: dict[str, list[str]] = {}
    for line in out.splitlines():
        found.setdefault(line.split()[1], []).append(line)
    return {subject: found[subject] for subject in ("broker", "topic", "group") if subject in found}
