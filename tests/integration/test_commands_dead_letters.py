"""`tingxie dead-letters` on a real broker, and with a real service behind it."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from consumer.demo.assets import SAMPLES
from consumer.errors import NotMedia, RecordingError, StorageUnavailable
from tests.conftest import Topics
from tests.integration.harness import Seen, TopicReader, produce
from tests.integration.shell import Command, tingxie, under_way
from tests.integration.world import BUCKET, World
from tests.servers import KafkaServer
from tests.unit.events.letters import letter_headers

SAMPLE = SAMPLES / "hotline.wav"
LETTERS = 50
COMMAND_S = 60.0


def bury(
    kafka: KafkaServer,
    topics: Topics,
    number: int,
    error: RecordingError | None = None,
    headers: Mapping[str, bytes] | None = None,
) -> int:
    """Write a dead letter as the service does; returns its offset."""
    told = letter_headers(
        [("traceparent", b"00-1"), *(headers or {}).items()],
        topic=topics.uploads,
        partition=0,
        offset=number,
        error=error or StorageUnavailable(f"audio-in/{number}.wav: 503"),
        recording_id=f"audio-in/{number}.wav",
    )
    value = json.dumps({"bucket": "audio-in", "key": f"{number}.wav"}).encode()
    _, offset = produce(
        kafka.bootstrap_servers,
        topics.dead_letters,
        value,
        key=b"key-%d" % number,
        headers=[(name, each or b"") for name, each in told],
    )
    return offset


def uploads(kafka: KafkaServer, topics: Topics) -> list[Seen]:
    with closing(TopicReader(kafka.bootstrap_servers, topics.uploads)) as reader:
        return reader.all()


def test_letters_are_listed_shown_and_exported(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str], tmp_path: Path
) -> None:
    bury(kafka, topics, 0)
    place = bury(kafka, topics, 1, NotMedia("audio-in/1.wav: nothing to decode"))
    code, out, err = tingxie(environment, "dead-letters", "list")
    assert (code, err) == (0, "")
    assert [json.loads(line)["dead_letter"]["class"] for line in out.splitlines()] == [
        "storage_unavailable",
        "not_media",
    ]
    chosen = tingxie(environment, "dead-letters", "list", "--class", "not_*", "--key", "audio-in/*")[1]
    assert [json.loads(line)["offset"] for line in chosen.splitlines()] == [place]
    code, out, err = tingxie(environment, "dead-letters", "show", f"0:{place}")
    assert (code, err) == (0, "")
    assert "__dlq.errors.message: audio-in/1.wav: nothing to decode" in out.splitlines()
    assert json.loads(out.split("\n\n", 1)[1]) == {"bucket": "audio-in", "key": "1.wav"}
    produce(kafka.bootstrap_servers, topics.dead_letters, b"\xff\x00", headers=[("odd", b"\xfe")])
    file = tmp_path / "letters.jsonl"
    assert tingxie(environment, "dead-letters", "export", "-o", str(file))[0] == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["key"] for line in lines] == ["key-0", "key-1", None]
    assert (lines[2]["value"], lines[2]["headers"]) == ({"base64": "/wA="}, [["odd", {"base64": "/g=="}]])
    code, _, err = tingxie(environment, "dead-letters", "export", "-o", str(file))
    assert code == 2
    assert "File exists" in err
    code, _, err = tingxie(environment, "dead-letters", "show", "0:99")
    assert code == 2
    assert "holds 0 to 2" in err


def test_a_redrive_sends_each_letter_once_as_it_was(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    for number in range(5):
        bury(kafka, topics, number)
    parked = bury(kafka, topics, 5, headers={"tingxie-redrives": b"3"})
    code, out, _ = tingxie(environment, "dead-letters", "redrive", "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "5 would be redriven, 0 were before, 1 stay")
    assert uploads(kafka, topics) == []
    code, out, _ = tingxie(environment, "dead-letters", "redrive", "--key", "audio-in/0.wav")
    assert (code, out.splitlines()[0]) == (0, "1 redriven, 0 were before, 0 stay")
    code, out, err = tingxie(environment, "dead-letters", "redrive")
    assert (code, out.splitlines()) == (
        0,
        ["4 redriven, 1 were before, 1 stay", f"  4 storage_unavailable to {topics.uploads}"],
    )
    assert f"tingxie: 0:{parked} audio-in/5.wav: stays: redriven 3 times before; raise --most" in err
    code, out, _ = tingxie(environment, "dead-letters", "redrive")
    assert (code, out) == (0, "0 redriven, 5 were before, 1 stay\n")
    sent = uploads(kafka, topics)
    assert sorted(each.key or b"" for each in sent) == [b"key-%d" % number for number in range(5)]
    (one,) = [each for each in sent if each.key == b"key-2"]
    assert one.json == {"bucket": "audio-in", "key": "2.wav"}
    assert one.headers == {
        "traceparent": "00-1",
        "tingxie-recording": "audio-in/2.wav",
        "tingxie-redrives": "1",
        "tingxie-copy-of": f"{topics.dead_letters}/0/2",
    }
    listed = tingxie(environment, "dead-letters", "list")[1]
    assert [json.loads(line)["offset"] for line in listed.splitlines()] == [parked]
    listed = tingxie(environment, "dead-letters", "list", "--all")[1]
    assert [json.loads(line)["redriven"] for line in listed.splitlines()] == [True] * 5 + [False]


@contextmanager
def redriving(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str], *, letters: int, rate: int, sent: int
) -> Iterator[Command]:
    """A redrive of so many letters, so many a second, of which so many are sent."""
    for number in range(letters):
        bury(kafka, topics, number)
    words = ("dead-letters", "redrive", "--rate", str(rate))
    with under_way(environment, *words, topic=topics.uploads, records=sent) as command:
        yield command


def test_a_redrive_that_is_killed_is_finished_by_the_next_one(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    with redriving(kafka, topics, environment, letters=60, rate=20, sent=10) as command:
        command.process.send_signal(signal.SIGKILL)
        assert command.process.wait(COMMAND_S) == -signal.SIGKILL
    assert len(uploads(kafka, topics)) < 60
    forget_what_was_remembered(kafka, topics)
    code, out, _ = tingxie(environment, "dead-letters", "redrive")
    assert code == 0
    assert " were before, 0 stay" in out
    assert Counter(each.key for each in uploads(kafka, topics)) == {b"key-%d" % number: 1 for number in range(60)}
    assert tingxie(environment, "dead-letters", "redrive")[1] == "0 redriven, 60 were before, 0 stay\n"


def forget_what_was_remembered(kafka: KafkaServer, topics: Topics) -> None:
    """Leave in the journal only that a redrive began: as if it was killed before it could remember anything."""
    journal = f"{topics.uploads}.journal"
    with closing(TopicReader(kafka.bootstrap_servers, journal)) as reader:
        keys = {each.key for each in reader.all() if (each.key or b"").startswith(b"redriven/")}
    assert keys, "the killed redrive had remembered some"
    for key in keys:
        produce(kafka.bootstrap_servers, journal, None, key=key)


def test_a_redrive_that_is_killed_is_finished_though_its_target_has_other_partitions(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    for number in range(8):
        bury(kafka, topics, number)
    assert tingxie(environment, "dead-letters", "redrive")[0] == 0
    assert len({each.partition for each in uploads(kafka, topics)}) > 1
    journal = f"{topics.uploads}.journal"

    def begun_with(*partitions: int) -> None:
        """As if a redrive was killed that had begun when the target had these partitions, all of them empty."""
        forget_what_was_remembered(kafka, topics)
        entry = {"begun_ms": 0, "targets": [[topics.uploads, each, 0, 0] for each in partitions]}
        key = f"redrive/{topics.dead_letters}".encode()
        produce(kafka.bootstrap_servers, journal, json.dumps(entry).encode(), key=key)

    begun_with(0)
    assert tingxie(environment, "dead-letters", "redrive")[1:] == ("0 redriven, 8 were before, 0 stay\n", "")
    begun_with(0, 4)
    code, out, err = tingxie(environment, "dead-letters", "redrive", "--dry-run")
    assert (code, out) == (0, "0 would be redriven, 8 were before, 0 stay\n")
    assert "was made anew, since a redrive was cut short: some may be sent a second time" in err
    assert len(uploads(kafka, topics)) == 8


def test_an_interrupted_redrive_remembers_and_says_so(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    with redriving(kafka, topics, environment, letters=40, rate=10, sent=3) as command:
        command.interrupt()
        code, _, err = command.end()
    assert (code, err) == (130, "tingxie: interrupted; the same command sends the rest\n")
    assert tingxie(environment, "dead-letters", "redrive")[0] == 0
    assert Counter(each.key for each in uploads(kafka, topics)) == {b"key-%d" % number: 1 for number in range(40)}


def test_letters_of_other_frameworks_go_back_too(
    kafka: KafkaServer, topics: Topics, environment: dict[str, str]
) -> None:
    spring = [
        ("kafka_dlt-original-topic", topics.uploads.encode()),
        ("kafka_dlt-original-partition", (1).to_bytes(4, "big")),
        ("kafka_dlt-exception-fqcn", b"java.net.SocketTimeoutException"),
    ]
    connect = [("__connect.errors.topic", topics.uploads.encode()), ("mine", b"stays")]
    produce(kafka.bootstrap_servers, topics.dead_letters, b"a", headers=spring)
    produce(kafka.bootstrap_servers, topics.dead_letters, b"b", headers=connect)
    produce(kafka.bootstrap_servers, topics.dead_letters, b"c")
    code, out, err = tingxie(environment, "dead-letters", "redrive")
    assert (code, out.splitlines()[0]) == (0, "2 redriven, 0 were before, 1 stay")
    assert "its headers name no topic; give --to-topic" in err
    sent = {each.value: set(each.headers) for each in uploads(kafka, topics)}
    ours = {"tingxie-redrives", "tingxie-copy-of"}
    assert sent == {b"a": ours, b"b": ours | {"mine"}}


def test_after_the_storage_is_repaired_a_redrive_brings_all_to_transcripts(world: World) -> None:
    hasty = {"TINGXIE_RETRY__ATTEMPTS": "1", "TINGXIE_LIMITS__DEAD_LETTER_SHARE": "1"}
    keys = [f"{number}.wav" for number in range(LETTERS)]
    world.proxy.fail(times=None, match="GET *")
    with world.service(**hasty):
        for key in keys:
            world.upload(key, SAMPLE.read_bytes())
        world.dead_letters_read.until(lambda seen: len(seen) >= LETTERS)
        world.proxy.clear()
        code, out, _ = tingxie(world.environment, "dead-letters", "redrive", "--class", "storage_unavailable")
        assert (code, out.splitlines()[0]) == (0, f"{LETTERS} redriven, 0 were before, 0 stay")
        world.transcripts_read.until(lambda seen: len(seen) >= LETTERS)
        code, out, _ = tingxie(world.environment, "dead-letters", "redrive")
        assert (code, out) == (0, f"0 redriven, {LETTERS} were before, 0 stay\n")
        world.group.wait_for_no_lag()
    transcribed = Counter((each.key or b"").decode() for each in world.transcripts_read.all())
    assert transcribed == {f"{BUCKET}/{key}": 1 for key in keys}
    assert len(world.dead_letters_read.all()) == LETTERS
