"""A broker that asks clients who they are and denies what it was not told to allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from tests.servers.admin import REQUEST_S
from tests.servers.certificates import Authority
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_ports

CLIENT = "tingxie-certificate"
"""Common name of `SecureKafkaServer.client_certificate`."""


class SecureKafkaServer(KafkaServer):
    """A broker with TLS, SCRAM-SHA-512 and access control lists.

    It has three listeners. ``bootstrap_servers`` is plain and its clients may do all: it is for the tests themselves.
    ``sasl_servers`` (SASL_SSL) asks for one of ``passwords``, ``tls_servers`` (SSL) for a client's certificate; those
    clients may do what `allow` said, and nothing else.

    Args:
        passwords: of users.
    """

    def __init__(self, passwords: Mapping[str, str]) -> None:
        super().__init__()
        self.passwords = dict(passwords)
        self.authority = Authority(self._folder, "authority")
        self.client_certificate = self.authority.issue(CLIENT)
        self._certificate = self.authority.issue("broker")
        self._sasl_port, self._tls_port = free_ports(2)

    @property
    def sasl_servers(self) -> str:
        return f"127.0.0.1:{self._sasl_port}"

    @property
    def tls_servers(self) -> str:
        return f"127.0.0.1:{self._tls_port}"

    def sasl_properties(self, user: str) -> dict[str, str]:
        """Properties of a client that comes as ``user`` to ``sasl_servers``."""
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.authority.certificate),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.passwords[user],
        }

    def tls_properties(self) -> dict[str, str]:
        """Properties of a client that comes with ``client_certificate`` to ``tls_servers``."""
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority.certificate),
            "ssl.certificate.location": str(self.client_certificate),
            "ssl.key.location": str(self.client_certificate),
        }

    def allow(self, user: str, operation: AclOperation, kind: ResourceType, name: str, *, prefix: bool = False) -> None:
        """Let a user do something to a topic or group, or to all whose names begin so."""
        pattern = ResourcePatternType.PREFIXED if prefix else ResourcePatternType.LITERAL
        binding = AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        _all_done(self.admin.create_acls([binding]).values())
        listed = AclBindingFilter(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        self.process.wait_until(lambda: bool(self.admin.describe_acls(listed).result(REQUEST_S)), REQUEST_S)

    def forbid(self, user: str, kind: ResourceType, name: str) -> None:
        """Take back all that a user was allowed to do to a topic or group."""
        every = AclBindingFilter(
            kind, name, ResourcePatternType.ANY, f"User:{user}", "*", AclOperation.ANY, AclPermissionType.ANY
        )
        _all_done(self.admin.delete_acls([every]).values())
        self.process.wait_until(lambda: not self.admin.describe_acls(every).result(REQUEST_S), REQUEST_S)

    def _completed(self, single_node: Mapping[str, str]) -> Mapping[str, str]:
        secure = f",SASL_SSL://{self.sasl_servers},SSL://{self.tls_servers}"
        return {
            **single_node,
            "listeners": single_node["listeners"] + secure,
            "advertised.listeners": single_node["advertised.listeners"] + secure,
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._certificate),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.ssl.ssl.client.auth": "required",
            # The distinguished name of a certificate is its user; this makes it the common name alone.
            "listener.name.ssl.ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # whoever comes to the plain listener
        }

    def _format_options(self) -> Sequence[str]:
        return [
            option
            for user, password in self.passwords.items()
            for option in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]")
        ]


def _all_done(futures: Iterable[object]) -> None:
    for each in futures:
        each.result(REQUEST_S)  # type: ignore[attr-defined]
