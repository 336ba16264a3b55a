"""Every fault that a run can inject: what it does, what it needs, and how it is healed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.faults.evidence import Absence
from tests.faults.guests import guests
from tests.faults.members import NOTICE_MS, Member, now_ms
from tests.faults.scene import Scene
from tests.faults.spool import filled, may_mount
from tests.faults.stage import BUCKET_PROXY, PARTITIONS, REQUEST_S
from tests.servers.cluster import KafkaNode

GETS = "GET *"


Strike = Callable[[Scene], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        strike: does it on entering, which returns what it did in words, and heals it on leaving. Neither waits.
        lasts_s: least and longest time between the two.
        track: faults of one track follow each other; those of different tracks overlap.
        needs: ``brokers`` that may be killed, ``network`` to them through proxies, ``mount`` of a file system.
    """

    strike: Strike
    lasts_s: tuple[float, float]
    track: int
    needs: frozenset[str] = frozenset()


# --- consumers ------------------------------------------------------------------------------------------------------


@contextmanager
def _held(scene: Scene, act: Callable[[Member], None], said: str) -> Iterator[str]:
    member = scene.free_member()
    if member is None:
        yield "nobody runs who could be struck"
        return
    member.held = True
    source = member.source
    act(member)
    try:
        yield f"{said} {source}"
    finally:
        member.resume()
        member.held = False


def consumer_kill(scene: Scene) -> AbstractContextManager[str]:
    """SIGKILL of a consumer."""
    return _held(scene, Member.kill, "SIGKILL of")


def consumer_stop(scene: Scene) -> AbstractContextManager[str]:
    """SIGSTOP of a consumer, for longer than the group waits for it."""
    return _held(scene, Member.freeze, "SIGSTOP of")


@contextmanager
def consumer_leave(scene: Scene) -> Iterator[str]:
    """SIGTERM of a consumer, which is then started again as in a rolling update."""
    member = scene.free_member()
    if member is not None:
        member.ask_to_leave()
    yield f"SIGTERM of {member.source}" if member is not None else "nobody runs who could be struck"


@contextmanager
def rebalance_storm(scene: Scene) -> Iterator[str]:
    """Members come and go every few seconds."""
    stage = scene.stage
    properties = {**stage.direct, **stage.group_properties, "group.id": scene.topics.group}
    with guests(properties, scene.topics.uploads, scene.rng):
        yield "members join and leave"


# --- brokers --------------------------------------------------------------------------------------------------------


@contextmanager
def _away(scene: Scene) -> Iterator[None]:
    """While brokers cannot be reached, no member can know what became of its partitions."""
    begun = now_ms()
    try:
        yield
    finally:
        scene.absences.append(Absence(None, begun, now_ms() + NOTICE_MS))


@contextmanager
def _killed(nodes: list[KafkaNode]) -> Iterator[None]:
    for node in nodes:
        node.kill()
    try:
        yield
    finally:
        for node in nodes:
            node.launch()


NOT_BACK = "the brokers are not back yet from what struck them before"


@contextmanager
def leader_kill(scene: Scene) -> Iterator[str]:
    """SIGKILL of the broker that leads a partition of the uploads."""
    if not scene.cluster.whole():
        yield NOT_BACK
        return
    partition = scene.rng.randrange(PARTITIONS)
    node = scene.cluster.leader(scene.topics.uploads, partition) or scene.rng.choice(scene.cluster.nodes)
    with _away(scene), _killed([node]):
        yield f"SIGKILL of {node.name}, which leads uploads/{partition}"


@contextmanager
def brokers_bounce(scene: Scene) -> Iterator[str]:
    """SIGKILL of all brokers at once."""
    with _away(scene), _killed(scene.cluster.nodes):
        yield "SIGKILL of all brokers"


@contextmanager
def dead_letters_away(scene: Scene) -> Iterator[str]:
    """The dead-letter topic takes nothing: it wants three replicas in sync, and one is gone."""
    if not scene.cluster.whole():
        yield NOT_BACK
        return
    topic = scene.topics.dead_letters
    leader = scene.cluster.leader(topic, 0)
    node = scene.rng.choice([each for each in scene.cluster.nodes if each is not leader])
    set_in_sync(scene.cluster.admin, topic, 3)
    try:
        with _away(scene), _killed([node]):
            yield f"{topic} wants three replicas, SIGKILL of {node.name}"
    finally:
        set_in_sync(scene.cluster.admin, topic, 2)


def set_in_sync(admin: AdminClient, topic: str, least: int) -> None:
    """Let a topic take records only while so many replicas are in sync."""
    entry = ConfigEntry("min.insync.replicas", str(least), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource], request_timeout=REQUEST_S).values():
        done.result(REQUEST_S)


# --- network --------------------------------------------------------------------------------------------------------


@contextmanager
def _proxies(scene: Scene, names: list[str], act: Callable[[str], None]) -> Iterator[None]:
    for name in names:
        act(name)
    try:
        yield
    finally:
        for name in names:
            scene.stage.tcp.heal(name)


@contextmanager
def network_slow(scene: Scene) -> Iterator[str]:
    """Every answer of the brokers comes late."""
    latency_ms = scene.rng.randrange(100, 600)
    names = list(scene.stage.broker_proxies)
    with _proxies(scene, names, lambda name: scene.stage.tcp.slow(name, latency_ms, latency_ms // 2)):
        yield f"brokers answer {latency_ms} ms late"


@contextmanager
def network_cut(scene: Scene) -> Iterator[str]:
    """No broker can be reached: connections are swallowed, or refused."""
    act, said = scene.rng.choice(
        [(scene.stage.tcp.swallow, "swallows all"), (scene.stage.tcp.refuse, "refuses connections")]
    )
    with _away(scene), _proxies(scene, list(scene.stage.broker_proxies), act):
        yield f"the network to the brokers {said}"


@contextmanager
def network_cut_one(scene: Scene) -> Iterator[str]:
    """One broker cannot be reached, though the others see it."""
    name = scene.rng.choice(list(scene.stage.broker_proxies))
    with _away(scene), _proxies(scene, [name], scene.stage.tcp.swallow):
        yield f"the network to {name} swallows all"


# --- storage and disk -----------------------------------------------------------------------------------------------


@contextmanager
def _http(scene: Scene, said: str) -> Iterator[str]:
    try:
        yield said
    finally:
        scene.stage.http.clear()


def storage_500(scene: Scene) -> AbstractContextManager[str]:
    """The storage answers 500."""
    scene.stage.http.fail(times=None, status=500, match=GETS)
    return _http(scene, "the storage answers 500")


def storage_503(scene: Scene) -> AbstractContextManager[str]:
    """The storage answers 503."""
    scene.stage.http.fail(times=None, status=503, match=GETS)
    return _http(scene, "the storage answers 503")


def storage_cut(scene: Scene) -> AbstractContextManager[str]:
    """The storage hangs up midway."""
    scene.stage.http.cut(times=None, after=1000, match=GETS)
    return _http(scene, "the storage hangs up after 1,000 bytes")


@contextmanager
def storage_slow(scene: Scene) -> Iterator[str]:
    """The storage answers late and sends slowly."""
    tcp = scene.stage.tcp
    with _proxies(scene, [BUCKET_PROXY], lambda name: tcp.slow(name, 1500, 500)):
        tcp.throttle(BUCKET_PROXY, 100)
        yield "the storage answers 1,500 ms late, 100 kB/s"


@contextmanager
def storage_away(scene: Scene) -> Iterator[str]:
    """The storage refuses connections."""
    with _proxies(scene, [BUCKET_PROXY], scene.stage.tcp.refuse):
        yield "the storage refuses connections"


@contextmanager
def spool_full(scene: Scene) -> Iterator[str]:
    """The disk under the spool has no room."""
    with filled(scene.stage.spool):
        yield "the spool's disk is full"


BROKERS, NETWORK, MOUNT = frozenset({"brokers"}), frozenset({"network"}), frozenset({"mount"})

FAULTS: Mapping[str, Fault] = {
    "consumer-kill": Fault(consumer_kill, (1, 5), track=0),
    "consumer-stop": Fault(consumer_stop, (13, 18), track=0),
    "consumer-leave": Fault(consumer_leave, (1, 3), track=0),
    "rebalance-storm": Fault(rebalance_storm, (10, 20), track=0),
    "leader-kill": Fault(leader_kill, (8, 15), track=0, needs=BROKERS),
    "brokers-bounce": Fault(brokers_bounce, (1, 5), track=0, needs=BROKERS),
    "dead-letters-away": Fault(dead_letters_away, (10, 20), track=0, needs=BROKERS),
    "network-slow": Fault(network_slow, (5, 15), track=1, needs=NETWORK),
    "network-cut": Fault(network_cut, (5, 15), track=1, needs=NETWORK),
    "network-cut-one": Fault(network_cut_one, (5, 15), track=1, needs=NETWORK),
    "storage-500": Fault(storage_500, (3, 10), track=1),
    "storage-503": Fault(storage_503, (3, 10), track=1),
    "storage-cut": Fault(storage_cut, (3, 10), track=1),
    "storage-slow": Fault(storage_slow, (5, 15), track=1),
    "storage-away": Fault(storage_away, (3, 10), track=1),
    "spool-full": Fault(spool_full, (5, 15), track=1, needs=MOUNT),
}
"""By the name that options take."""

_WHY = {
    "brokers": "brokers of a cluster that is not ours are not killed",
    "network": "the network to a cluster that is not ours is left alone",
    "mount": "this user may not mount a small file system for the spool",
}


def left_out(stage_is_ours: bool) -> dict[str, str]:
    """Faults that cannot be injected here, and why."""
    has = {"brokers": stage_is_ours, "network": stage_is_ours, "mount": may_mount()}
    return {name: _WHY[need] for name, fault in FAULTS.items() for need in fault.needs if not has[need]}
