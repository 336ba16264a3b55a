"""The service against the recogniser's bare forward pass: a real broker, a real bucket, ``tingxie run`` as a process.

The recordings lie in the bucket; the clock runs from their upload events to the last transcript in the topic. The
target: ``raw`` at least 0.90.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from pathlib import Path

from benchmarks.audio import mixed_set
from benchmarks.options import add_model_options, chosen_models, engine_environment, parser
from benchmarks.report import print_result, progress
from benchmarks.rounds import interleave
from benchmarks.servers import announce, create_topics, running_servers
from tests.integration.harness import ServiceProcess, TopicReader

LONGEST_ROUND_S = 1800.0


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser("service", "The service on Kafka and S3 against the bare forward pass.", minutes=16)
    add_model_options(options, rounds=3, budget_s=360)
    run(options.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Measure and report."""
    import torch  # noqa: PLC0415 - slow

    from benchmarks.references import FunASR, RawForward  # noqa: PLC0415 - likewise

    models = chosen_models(options)
    recordings = mixed_set(options.minutes)
    audio_s = sum(each.seconds for each in recordings)
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder, running_servers() as servers:
        topics = create_topics(servers.kafka)
        for each in recordings:
            servers.upload(f"{each.name}.wav", each.wav())
        settings = {
            **servers.settings(topics, Path(folder) / "spool"),
            **engine_environment(models, options, threads=options.threads),
        }
        broker = servers.kafka.bootstrap_servers
        funasr = FunASR(models, "cpu")
        raw = RawForward(funasr, funasr.segments(recordings), options.batch_seconds)
        progress(f"{len(recordings)} recordings, {audio_s:.0f} s, {raw.seconds:.0f} s of speech; starting the service")
        with ServiceProcess(settings, Path(folder)), closing(TopicReader(broker, topics.transcripts)) as transcripts:

            def transcribe(keys: list[str]) -> None:
                wanted = len(transcripts.records) + len(keys)
                announce(broker, topics.uploads, keys)
                transcripts.until(lambda seen: len(seen) >= wanted, LONGEST_ROUND_S)

            keys = [f"{each.name}.wav" for each in recordings]
            transcribe([f"{min(recordings, key=lambda each: each.seconds).name}.wav"])
            measured = interleave(
                {"service": lambda: transcribe(keys), "raw": raw.run}, rounds=options.rounds, budget_s=options.budget_s
            )
    print_result(
        "service",
        {"raw": measured.ratio("raw", "service")},
        {"raw": measured.as_json()["raw"]},
        service=measured.as_json()["service"],
        times_real_time={name: round(audio_s / measured.median(name), 2) for name in measured.seconds},
        audio_s=round(audio_s),
        speech_s=round(raw.seconds),
        recordings=len(recordings),
    )


if __name__ == "__main__":
    main()
