"""What the broker lets us do: asked before the model is loaded, not found out at the first transcript."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from consumer.errors import BrokerUnavailable, CredentialsRefused
from consumer.kafka.clients import PERMISSION_ADVICE, client_properties, open_client, user_of
from consumer.settings import KafkaSettings

ANSWER_S = 10.0
"""Most time for the broker to say. It has answered before, so it will; and what it does not say is no fault."""

Operation = Literal["READ", "WRITE"]


@dataclass(frozen=True, slots=True)
class Denied:
    """One thing that we must do and may not.

    Attributes:
        operation: as ACLs name it.
        kind: of the resource, as messages name it.
        name: of the resource.
    """

    operation: Operation
    kind: Literal["topic", "group"]
    name: str


def denied(
    settings: KafkaSettings, *, reads: Iterable[str], writes: Iterable[str] = (), group: bool = True
) -> list[Denied]:
    """What of our work the broker would refuse. A broker that cannot tell denies nothing here.

    Args:
        settings: of the broker.
        reads: topics that are consumed.
        writes: topics that are produced to.
        group: whether we join ``kafka.group_id``.

    Raises:
        UsageError: ``kafka.properties`` are wrong.
    """
    client = open_client(AdminClient, client_properties(settings))
    if not _has_controller(client):
        return []
    wanted: dict[str, list[Operation]] = {}
    for name in reads:
        wanted.setdefault(name, []).append("READ")
    for name in writes:
        wanted.setdefault(name, []).append("WRITE")
    asked = {"include_authorized_operations": True, "request_timeout": ANSWER_S}
    topics = client.describe_topics(TopicCollection(list(wanted)), **asked)
    groups = client.describe_consumer_groups([settings.group_id], **asked) if group else {}
    return [
        *(Denied(each, "topic", name) for name, answer in topics.items() for each in _refused(answer, wanted[name])),
        *(Denied(each, "group", name) for name, answer in groups.items() for each in _refused(answer, ["READ"])),
    ]


def refusal(settings: KafkaSettings, missing: Iterable[Denied]) -> CredentialsRefused:
    """The error that says what is denied, to whom, and what to do."""
    listed = ", ".join(f"{each.operation} {each.kind} {each.name}" for each in missing)
    return CredentialsRefused(
        f"broker {settings.bootstrap_servers}: not permitted to {user_of(settings)}: {listed}; {PERMISSION_ADVICE}"
    )


def check_access(
    settings: KafkaSettings, *, reads: Iterable[str], writes: Iterable[str] = (), group: bool = True
) -> None:
    """Insist on all of it; see `denied`.

    Raises:
        CredentialsRefused: the broker would refuse something; names all of it.
        UsageError: ``kafka.properties`` are wrong.
    """
    if missing := denied(settings, reads=reads, writes=writes, group=group):
        raise refusal(settings, missing)


def check_readable(settings: KafkaSettings, topics: Iterable[str], existing: Collection[str]) -> None:
    """Insist that topics can be read without a group.

    Args:
        settings: of the broker.
        topics: that are wanted.
        existing: those that the broker named.

    Raises:
        BrokerUnavailable: some do not exist; names them.
        CredentialsRefused: we may not even see them.
    """
    missing = [topic for topic in topics if topic not in existing]
    if missing:
        check_access(settings, reads=missing, group=False)  # a topic that we may not see looks missing
        raise BrokerUnavailable(
            f"no topic {', '.join(missing)} on {settings.bootstrap_servers}: check the topics settings, "
            "or create what is missing with `tingxie check --create-topics`"
        )


def _has_controller(client: AdminClient) -> bool:
    """Whether the cluster names a broker that answers for it all; the client would wait for one in vain."""
    try:
        metadata = client.list_topics(timeout=ANSWER_S)
    except KafkaException:
        return False
    return metadata.controller_id in metadata.brokers


def _refused(answer: Future[Any], wanted: Sequence[Operation]) -> Sequence[Operation]:
    """Those of the wanted operations that are denied."""
    try:
        operations = answer.result().authorized_operations
    except KafkaException as exception:
        forbidden = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}
        return wanted if exception.args[0].code() in forbidden else ()
    # None or nothing: the broker does not tell.
    return [each for each in wanted if operations and AclOperation[each] not in operations]
