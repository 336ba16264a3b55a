"""Settings of a service on the servers of this package, as environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tests.servers.versitygw import VersityGateway


class TopicNames(Protocol):
    """Whatever names a service's topics."""

    @property
    def uploads(self) -> str: ...

    @property
    def transcripts(self) -> str: ...

    @property
    def dead_letters(self) -> str: ...


def kafka_settings(bootstrap_servers: str, topics: TopicNames) -> dict[str, str]:
    """Broker and topics."""
    return {
        "TINGXIE_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "TINGXIE_TOPICS__UPLOADS": topics.uploads,
        "TINGXIE_TOPICS__TRANSCRIPTS": topics.transcripts,
        "TINGXIE_TOPICS__DEAD_LETTERS": topics.dead_letters,
    }


def storage_settings(endpoint_url: str) -> dict[str, str]:
    """A gateway, or a proxy before it, with all permissions."""
    return {
        "TINGXIE_STORAGE__ENDPOINT_URL": endpoint_url,
        "TINGXIE_STORAGE__PATH_STYLE": "true",
        "TINGXIE_STORAGE__ACCESS_KEY_ID": VersityGateway.access_key,
        "TINGXIE_STORAGE__SECRET_ACCESS_KEY": VersityGateway.secret_key,
    }


def engine_settings(models: Path) -> dict[str, str]:
    """Models in the folders paraformer, fsmn-vad and ct-transformer, on the CPU."""
    return {
        "TINGXIE_ENGINE__MODEL": str(models / "paraformer"),
        "TINGXIE_ENGINE__VAD": str(models / "fsmn-vad"),
        "TINGXIE_ENGINE__PUNCTUATION": str(models / "ct-transformer"),
        "TINGXIE_ENGINE__DEVICE": "cpu",
    }
