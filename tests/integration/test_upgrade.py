"""A new model takes over: in the running process, and by a new process beside the old one."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consumer.demo.assets import SAMPLES
from consumer.engine.hub import find_model
from tests.altered import another_revision, broken
from tests.integration.harness import WORK_S, Seen, ServiceProcess
from tests.integration.world import BUCKET, World, open_world
from tests.servers import KafkaServer
from tests.servers.process import free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLIPS = ("hotline.wav", "podcast.mp3", "street.mp3", "voice note.ogg")
"""Two to five seconds each."""
EACH_S = 0.2
"""From one recording to the next: less than the machine can do, so that what waits waits for the models."""
WAIT_MS = 2000
"""The most a recording may wait because models are replaced."""


@pytest.fixture
def world(kafka: KafkaServer, demo_models: Path, tmp_path: Path, s3: Callable[..., S3Client]) -> Iterator[World]:
    with open_world(kafka, demo_models, tmp_path, s3, announces=False) as world:
        yield world


@dataclass(frozen=True, slots=True)
class Folders:
    """Model folders: what serves at first, a later revision, and one that is broken."""

    first: Path
    later: Path
    broken: Path

    def revision(self, folder: Path) -> str:
        return find_model("engine.model", str(folder), "").revision


@pytest.fixture
def folders(demo_models: Path, tmp_path: Path) -> Folders:
    first = demo_models / "paraformer"
    return Folders(first, another_revision(first, tmp_path / "later"), broken(first, tmp_path / "broken"))


class Flow:
    """Uploads recordings one after the other while something else goes on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stop = threading.Event()
        self.keys: list[str] = []

    def send(self, count: int) -> list[str]:
        """So many recordings, at the rate; returns their keys."""
        sent = []
        for _ in range(count):
            clip = CLIPS[len(self.keys) % len(CLIPS)]
            key = f"{len(self.keys):03}/{clip}"
            self._world.upload(key, (SAMPLES / clip).read_bytes())
            self._world.announce(key)
            self.keys.append(key)
            sent.append(key)
            self._stop.wait(EACH_S)
        return sent


def ask(port: int, method: str) -> Any:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, "/-/reload")
        return json.load(connection.getresponse())


def until_told(port: int, outcome: str) -> dict[str, Any]:
    """The state once a reload has ended so."""
    waiting, left_s = threading.Event(), WORK_S
    while True:
        state: dict[str, Any] = ask(port, "GET")
        if not state["reloading"] and state["last"].get("outcome") == outcome:
            return state
        assert left_s > 0, f"no reload ended as {outcome}: {state}"
        waiting.wait(0.2)
        left_s -= 0.2


def by_key(seen: Sequence[Seen]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in seen:
        found.setdefault((each.key or b"").decode().removeprefix(f"{BUCKET}/"), []).append(each.json)
    return found


def longest_ms(transcripts: dict[str, list[Any]], keys: Sequence[str]) -> int:
    return max(int(transcripts[key][0]["timing"]["total_ms"]) for key in keys)


@pytest.mark.timeout(900)
def test_models_are_replaced_under_load_and_no_recording_fails_or_waits(world: World, folders: Folders) -> None:
    """300 recordings flow; the model is replaced once, and once it is to be replaced by one that is broken."""
    settings = world.folder / "tingxie.toml"
    (admin,) = free_ports(1)

    def name(folder: Path) -> None:
        settings.write_text(f'[engine]\nmodel = "{folder}"\n')

    name(folders.first)
    environment = {**world.environment, "TINGXIE_TELEMETRY__ADMIN_PORT": str(admin)}
    del environment["TINGXIE_ENGINE__MODEL"]  # it would win over the file
    service = ServiceProcess(environment, world.folder, ("-m", "consumer", "run", "--config", str(settings)))
    flow = Flow(world)
    with service:
        undisturbed = flow.send(100)
        name(folders.later)
        service.send(signal.SIGHUP)
        replaced = flow.send(100)
        assert until_told(admin, "replaced")["revision"] == folders.revision(folders.later)
        name(folders.broken)
        assert ask(admin, "POST")["model"] == "later"
        refused = flow.send(100)
        state = until_told(admin, "refused")
        assert state["revision"] == folders.revision(folders.later)
        assert "does not load" in state["last"]["error"]
        transcripts = by_key(world.transcripts_read.until(lambda seen: len(seen) >= 300))
        metrics = service.get("/metrics")[1]
        service.send(signal.SIGTERM)
        assert service.wait() == 0

    assert set(transcripts) == set(flow.keys)
    assert len(world.dead_letters_read.all()) == 0
    revisions = {key: each[0]["model"]["revision"] for key, each in transcripts.items()}
    first, later = folders.revision(folders.first), folders.revision(folders.later)
    assert {revisions[key] for key in undisturbed} == {first}
    assert {revisions[key] for key in refused} == {later}
    assert [revisions[key] for key in replaced] == sorted(
        (revisions[key] for key in replaced), key=[first, later].index
    )
    waited = max(longest_ms(transcripts, replaced), longest_ms(transcripts, refused))
    usual = longest_ms(transcripts, undisturbed)
    assert waited <= usual + WAIT_MS, f"a recording took {waited} ms, and {usual} ms before"
    assert 'tingxie_model_reloads_total{outcome="replaced"} 1.0' in metrics
    assert 'tingxie_model_reloads_total{outcome="refused"} 1.0' in metrics
    assert 'name="later",punctuation="ct-transformer@' in metrics
    events = [line["event"] for line in service.lines() if line["event"].startswith("models")]
    assert events == ["models replaced", "models stay: what was to replace them was refused"]


@pytest.mark.timeout(900)
def test_a_new_process_takes_over_from_the_old_one(world: World, folders: Folders) -> None:
    """What a rolling update does: the new one is ready, then the old one is told to leave."""
    old = world.service(TINGXIE_LIMITS__REVOKE_SECONDS="60")
    new = world.service(TINGXIE_LIMITS__REVOKE_SECONDS="60", TINGXIE_ENGINE__MODEL=str(folders.later))
    flow = Flow(world)
    with old:
        flow.send(20)
        uploading = threading.Thread(target=flow.send, args=(100,))
        uploading.start()
        with new:
            old.send(signal.SIGTERM)
            assert old.wait() == 0
            uploading.join()
            flow.send(20)
            world.transcripts_read.until(lambda seen: set(by_key(seen)) >= set(flow.keys))
            world.group.wait_for_no_lag()
    counts = Counter(key for key, each in by_key(world.transcripts_read.all()).items() for _ in each)
    assert counts == Counter(flow.keys), "each recording was transcribed once"
    assert len(world.dead_letters_read.all()) == 0
    revisions = [each[0]["model"]["revision"] for each in by_key(world.transcripts_read.all()).values()]
    assert set(revisions) == {folders.revision(folders.first), folders.revision(folders.later)}
