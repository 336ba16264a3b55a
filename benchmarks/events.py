"""The service with a no-op engine against a bare confluent-kafka loop, records a second on a real broker.

The bare loop reads records, writes one of a transcript's size for each, waits for the delivery reports and commits;
once one record at a time (``one``), once with as many as are there, up to a turn of the service's loop (``turn``). The
target: at least 0.8.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from contextlib import closing
from pathlib import Path

from benchmarks.bare import BareLoop
from benchmarks.child import run_child
from benchmarks.options import parser
from benchmarks.report import print_result, progress
from benchmarks.rounds import Rounds
from benchmarks.servers import Topics, announce, create_topics
from consumer.pipeline.service import TURN_RECORDS
from tests.integration.harness import TopicReader
from tests.servers import KafkaServer

AT_A_TIME = {"one": 1, "turn": TURN_RECORDS}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser("events", "The service without an engine against a bare Kafka loop.")
    options.add_argument("--records", type=int, default=20_000, help="upload events in a round")
    options.add_argument("--rounds", type=int, default=3, help="rounds")
    run(options.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Measure and report."""
    measured = Rounds()
    cpu_s = []
    value = b""
    with tempfile.TemporaryDirectory() as folder, KafkaServer() as kafka:
        for number in range(options.rounds):
            topics = create_topics(kafka)
            keys = (f"calls/{at:06}.wav" for at in range(options.records))
            announce(kafka.bootstrap_servers, topics.uploads, keys)
            cost = run_service(kafka, topics, Path(folder), options.records)
            measured.add("service", cost["seconds"])
            cpu_s.append(cost["cpu_s"])
            if not value:
                value = first_transcript(kafka, topics)
            for name, at_a_time in AT_A_TIME.items():
                group = f"bare-{uuid.uuid4()}"
                broker = kafka.bootstrap_servers
                bare = BareLoop(broker, group, topics.uploads, topics.transcripts, value, at_a_time=at_a_time)
                # One at a time is so slow that a tenth of the records tells as much.
                count = options.records if at_a_time > 1 else max(1, options.records // 10)
                measured.add(name, bare.run(count) * options.records / count)
            progress(f"round {number + 1}: {measured.seconds}")
    print_result(
        "events",
        {name: measured.ratio(name, "service") for name in AT_A_TIME},
        {
            name: {**measured.as_json()[name], "records_a_second": round(options.records / measured.median(name))}
            for name in AT_A_TIME
        },
        service={
            **measured.as_json()["service"],
            "records_a_second": round(options.records / measured.median("service")),
            "cpu_us_a_record": round(1e6 * min(cpu_s) / options.records),
        },
        records=options.records,
        transcript_bytes=len(value),
    )


def run_service(kafka: KafkaServer, topics: Topics, folder: Path, records: int) -> dict[str, float]:
    """The service in a process of its own, with its usual logs in a file."""
    environment = {
        **topics.settings(kafka.bootstrap_servers),
        "TINGXIE_LIMITS__SPOOL_DIR": str(folder / "spool"),
        "TINGXIE_LIMITS__DRAIN_SECONDS": "1",
    }
    cost: dict[str, float] = run_child("noop", [str(records)], environment, folder / "noop.log")
    return cost


def first_transcript(kafka: KafkaServer, topics: Topics) -> bytes:
    """A record that the service wrote."""
    with closing(TopicReader(kafka.bootstrap_servers, topics.transcripts)) as reader:
        return reader.until(bool)[0].value or b""


if __name__ == "__main__":
    main()
