"""What a single broker and a cluster have in common for those who administer them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.servers.process import Running

REQUEST_S = 15.0


class Administered(Running):
    """Brokers, with an admin client of theirs while they run."""

    _admin: AdminClient | None = None

    @property
    @abstractmethod
    def bootstrap_servers(self) -> str:
        """``host:port`` of each broker."""

    @property
    def admin(self) -> AdminClient:
        """An admin client that connects to ``bootstrap_servers``; refused connections are not logged."""
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        return self._admin

    def create_topics(self, *names: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Create topics on all brokers and return when all can be written to.

        Raises:
            KafkaException: one was refused, for example because it exists.
        """
        new = [NewTopic(name, num_partitions=partitions, config=dict(config or {})) for name in names]
        for created in self.admin.create_topics(new, operation_timeout=REQUEST_S).values():
            created.result(REQUEST_S)
        self._wait_for_leaders(names, partitions)

    @abstractmethod
    def _wait_for_leaders(self, topics: Sequence[str], partitions: int) -> None:
        """Return when all partitions of new topics have a leader."""
