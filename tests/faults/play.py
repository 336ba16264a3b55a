"""A group at work on its own topics, and rounds of uploads during which a plan of faults strikes."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.faults import commits
from tests.faults.checker import Findings, check
from tests.faults.clips import Clip, good_clips
from tests.faults.evidence import Commit, Content, Evidence
from tests.faults.faults import FAULTS
from tests.faults.members import PLAIN, SERVICE, Members
from tests.faults.plan import Strike
from tests.faults.reading import UPLOAD, dead_letters_of, incoming_of, read_topic, transcripts_of
from tests.faults.scene import Scene
from tests.faults.stage import BUCKET, REQUEST_S, Stage, Topics
from tests.faults.uploader import Uploader
from tests.integration.harness import produce
from tests.servers import VersityGateway

TICK_S = 0.1
SETTLE_S = 300.0
"""For the group to work off what is left once nothing disturbs it any more."""
REST_S = 1.0
FOREIGN_CLOCKS_MS = 500
"""By how much the clocks of brokers on several machines may differ."""
BASELINE = "baseline/"

Truth = Mapping[Clip, Content]
Say = Callable[[str], None]


@dataclass(slots=True)
class Play:
    """A running group.

    Attributes:
        stage: servers it uses.
        scene: what faults may touch.
        announcing: gateway that tells the upload topic of what is put; None beside somebody else's cluster.
        truth: what good recordings say when nothing disturbs.
        say: takes one line of progress.
    """

    stage: Stage
    scene: Scene
    announcing: VersityGateway | None
    truth: Truth
    say: Say

    def round(self, plan: Sequence[Strike], *, duration_s: float, seed: int, rate: float, prefix: str) -> Findings:
        """Upload for so long while the plan strikes, heal everything, let the group finish, and check what it did.

        Args:
            plan: by time.
            duration_s: of the uploads.
            seed: of what is uploaded.
            rate: uploads a second.
            prefix: of all names of this round; no two rounds have the same.

        Raises:
            ServerError: the cluster did not come back.
            TimeoutError: a member did not.
        """
        with ExitStack() as stack:
            s3 = stack.enter_context(closing(self.stage.s3(self.stage.gateway.endpoint_url)))
            announcing = None
            if self.announcing is not None:
                announcing = stack.enter_context(closing(self.stage.s3(self.announcing.endpoint_url)))
            uploader = Uploader(
                s3=s3,
                announcing=announcing,
                bucket=BUCKET,
                properties=self.stage.direct,
                topic=self.scene.topics.uploads,
                clips=self.truth,
                prefix=prefix,
                rate=rate,
                rng=random.Random(seed),
            )
            uploader.start()
            try:
                self._disturb(plan, duration_s)
                self._heal()
            finally:
                uploader.stop()
        self.say("nothing disturbs any more; the group works off what is left")
        self._settle()
        return self._findings(uploader, prefix)

    def _disturb(self, plan: Sequence[Strike], duration_s: float) -> None:
        waiting, active = deque(plan), list[tuple[float, str, ExitStack]]()
        begun = time.monotonic()
        with ExitStack() as everything:
            while (elapsed := time.monotonic() - begun) < duration_s:
                for healed in [each for each in active if each[0] <= elapsed]:
                    active.remove(healed)
                    healed[2].close()
                    self.say(f"{elapsed:6.1f} s  {healed[1]} is over")
                while waiting and waiting[0].at_s <= elapsed:
                    strike = waiting.popleft()
                    self.scene.rng = random.Random(strike.seed)
                    stack = everything.enter_context(ExitStack())
                    what = stack.enter_context(FAULTS[strike.fault].strike(self.scene))
                    active.append((elapsed + strike.lasts_s, strike.fault, stack))
                    self.say(f"{elapsed:6.1f} s  {strike.fault}: {what}, for {strike.lasts_s:.1f} s")
                self.scene.members.supervise()
                time.sleep(TICK_S)

    def _heal(self) -> None:
        if self.stage.cluster is not None:
            self.stage.cluster.wait_until_whole()
        self.scene.members.wait_until_ready()

    def _settle(self) -> None:
        """Wait until nothing is left; what still is shows in the findings."""
        deadline = time.monotonic() + SETTLE_S
        with closing(Consumer({**self.stage.direct, "group.id": self.scene.topics.group})) as asking:
            while self._lag(asking) > 0:
                if time.monotonic() > deadline:
                    self.say(f"the group still lags after {SETTLE_S:.0f} s")
                    return
                self.scene.members.supervise()
                time.sleep(TICK_S)

    def _lag(self, asking: Consumer) -> int:
        known = asking.list_topics(timeout=REQUEST_S).topics
        partitions = [
            TopicPartition(topic, number) for topic in self.scene.topics.incoming for number in known[topic].partitions
        ]
        committed = asking.committed(partitions, timeout=REQUEST_S)
        return sum(asking.get_watermark_offsets(each, timeout=REQUEST_S)[1] - max(0, each.offset) for each in committed)

    def _findings(self, uploader: Uploader, prefix: str) -> Findings:
        stage, topics = self.stage, self.scene.topics
        incoming = [each for topic in topics.incoming for each in incoming_of(read_topic(stage.direct, topic))]
        ended = [
            *transcripts_of(read_topic(stage.direct, topics.transcripts)),
            *dead_letters_of(read_topic(stage.direct, topics.dead_letters)),
        ]
        evidence = Evidence(
            incoming=tuple(each for each in incoming if each.recording.startswith(prefix)),
            ended=tuple(each for each in ended if each.recording.startswith(prefix)),
            commits=self._commits(),
            absences=(*self.scene.absences, *self.scene.members.absences),
            objects=uploader.objects,
            announced=frozenset(uploader.announced),
        )
        return check(evidence, tolerance_ms=0 if stage.cluster is not None else FOREIGN_CLOCKS_MS)

    def _commits(self) -> tuple[Commit, ...] | None:
        """What the group committed; None where we may not read it."""
        try:
            return commits.commits_of(read_topic(self.stage.direct, commits.TOPIC), self.scene.topics.group)
        except KafkaException as exception:
            if self.stage.cluster is not None:
                raise
            self.say(f"{commits.TOPIC} cannot be read, so commits are not checked: {exception.args[0].str()}")
            return None


@contextmanager
def open_play(
    stage: Stage,
    *,
    say: Say,
    truth: Truth | None = None,
    members: int = 3,
    command: Sequence[str] = SERVICE,
    logs: Path | None = None,
) -> Iterator[Play]:
    """Create topics, start a group on them, and find out what the recordings say while nothing disturbs.

    Args:
        stage: servers.
        say: takes one line of progress.
        truth: what the recordings say, when it is known already.
        members: how many.
        command: what each runs.
        logs: folder for their logs; None for one that goes with the stage.

    Raises:
        TimeoutError: a member was not ready in time, or the recordings were not transcribed in time.
    """
    topics = Topics.new()
    stage.create(topics)
    folder = logs or stage.folder / topics.group
    environment = stage.environment(topics)
    if command == PLAIN:
        assert truth is not None, "the plain loop is told what the recordings say"
        environment |= _told(truth, folder)
    group = Members([environment] * members, folder, command)
    with ExitStack() as stack:
        if stage.cluster is None:
            stack.callback(stage.delete, topics)
        stack.callback(group.close)
        announcing = None
        if stage.cluster is not None:
            # It knows one broker; what it cannot announce meanwhile is not uploaded as far as the group is concerned.
            first = stage.bootstrap_servers.split(",")[0]
            announcing = stack.enter_context(VersityGateway(first, topics.uploads, objects=stage.gateway.objects))
        say(f"{members} members start")
        group.start()
        scene = Scene(stage, topics, group)
        yield Play(stage, scene, announcing, truth or _heard(stage, topics), say)
        for line in (*group.stop(), *group.exits):
            say(line)


def _heard(stage: Stage, topics: Topics) -> Truth:
    """Have each recording transcribed once.

    Raises:
        TimeoutError: a transcript is missing.
        ValueError: one says something else than its recording.
    """
    clips = {clip.etag: clip for clip in good_clips()}
    with closing(stage.s3(stage.gateway.endpoint_url)) as s3:
        for clip in clips.values():
            key = f"{BASELINE}{clip.name}"
            s3.put_object(Bucket=BUCKET, Key=key, Body=clip.body or b"")
            event = {"bucket": BUCKET, "key": key, "metadata": {UPLOAD: key}}
            produce(stage.bootstrap_servers, topics.uploads, json.dumps(event).encode(), key=key.encode())
    deadline = time.monotonic() + SETTLE_S
    while True:
        ended = list(transcripts_of(read_topic(stage.direct, topics.transcripts)))
        if {each.etag for each in ended} == set(clips):
            return {clips[each.etag]: Content(each.status, each.text) for each in ended}
        if time.monotonic() > deadline:
            missing = [clip.name for etag, clip in clips.items() if etag not in {each.etag for each in ended}]
            raise TimeoutError(f"no transcripts of {', '.join(missing)} within {SETTLE_S:.0f} s")
        time.sleep(REST_S)


def _told(truth: Truth, folder: Path) -> dict[str, str]:
    """The truth in a file, for the plain loop."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "truth.json"
    known = {clip.etag: {"status": content.status, "text": content.text} for clip, content in truth.items()}
    path.write_text(json.dumps(known))
    return {"PLAIN_TRUTH": str(path)}
