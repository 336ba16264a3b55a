"""What faults may touch."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.faults.evidence import Absence
from tests.faults.members import Member, Members
from tests.faults.stage import Stage, Topics
from tests.servers.cluster import KafkaCluster


@dataclass(slots=True)
class Scene:
    """What a fault may touch.

    Attributes:
        stage: servers.
        topics: of the run.
        members: of the group.
        rng: draws whom it strikes.
        absences: of all members at once, which faults of brokers and network note here.
    """

    stage: Stage
    topics: Topics
    members: Members
    rng: random.Random = field(default_factory=random.Random)
    absences: list[Absence] = field(default_factory=list)

    @property
    def cluster(self) -> KafkaCluster:
        """The cluster, which a fault that is struck may break."""
        assert self.stage.cluster is not None
        return self.stage.cluster

    def free_member(self) -> Member | None:
        """One that runs and that no fault has in its hands."""
        free = [member for member in self.members.all if not member.held and member.service.process.alive()]
        return self.rng.choice(free) if free else None
