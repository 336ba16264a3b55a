"""The command ``tingxie``. Results go to stdout, all else to stderr; nothing heavy is imported before it is needed.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.
"""
# ruff: noqa: PLC0415 - commands are imported when they are called: --help and completion must be quick

from __future__ import annotations

from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from consumer.commands.arguments import TIMES, Config, epoch_ms, examples, settings_of
from consumer.commands.dead_letters import dead_letters
from consumer.errors import TingxieError, UsageError
from consumer.redaction import redacted


class _Commands(TyperGroup):
    """Turns this program's errors into a line on stderr and an exit code; others keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TingxieError as error:
            typer.echo(f"tingxie: {redacted(str(error))}", err=True)
            raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error


app = typer.Typer(
    name="tingxie",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "tingxie demo                                see it work, nothing to set up",
        "tingxie check --config tingxie.toml         is all that `run` needs in order?",
        "tingxie run --config tingxie.toml           upload events in, transcripts out",
        "tingxie replay --from 2026-11-01 --dry-run  last month once more, with a new model",
        "tingxie dead-letters redrive --dry-run      what failed, once more",
        "tingxie transcribe talk.mp3 --format srt    without Kafka",
    ),
)


class FileFormat(str, Enum):
    """The formats of `consumer.transcript.formats`; typer knows lists of enumerations, not of literals."""

    txt = "txt"
    json = "json"
    srt = "srt"
    vtt = "vtt"


@app.callback()
def tingxie(ctx: typer.Context, config: Config = None) -> None:
    """Recordings land in a bucket, transcripts come out of a Kafka topic."""
    ctx.obj = config


@app.command(
    epilog=examples(
        "tingxie run --config tingxie.toml",
        "TINGXIE_KAFKA__BOOTSTRAP_SERVERS=broker:9092 tingxie run",
    )
)
def run(ctx: typer.Context, config: Config = None) -> None:
    """Serve: transcribe what upload events name, until SIGTERM or Ctrl-C; then finish what is in work and commit."""
    from consumer.commands.run import run as serve

    serve(lambda: settings_of(ctx, config))


@app.command(epilog=examples("tingxie demo", "tingxie demo --keep", "tingxie demo --keep ~/recordings"))
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", file_okay=False, help="What --keep watches; tingxie-drop unless named."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Stay up and transcribe every file dropped into the folder.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the service logs.")] = False,
) -> None:
    """See it work: an embedded broker, bucket and small model transcribe the recordings that ship with it."""
    from consumer.demo.assets import DROP_FOLDER
    from consumer.demo.run import run_demo

    if folder is not None and not keep:
        raise UsageError(f"{folder}: a folder is watched only with --keep")
    raise typer.Exit(run_demo(keep=(folder or DROP_FOLDER) if keep else None, verbose=verbose))


@app.command(
    epilog=examples(
        "tingxie transcribe talk.mp3",
        "tingxie transcribe calls/ --format srt --format json --output subtitles/",
        "tingxie transcribe s3://audio-in/calls/ --channels split -f json | jq .text",
        "tingxie transcribe --demo-model synthetic.wav    no download of large models",
    )
)
def transcribe(
    *,
    ctx: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files, folders, s3://bucket/key or s3://bucket/prefix/")
    ],
    format: Annotated[  # noqa: A002 - the option's name
        list[FileFormat] | None,
        typer.Option("--format", "-f", help="What to write; give it again for more, with --output. Default: txt."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", file_okay=False, help="Write NAME.FORMAT files there."),
    ] = None,
    channels: Annotated[
        Literal["mix", "split"], typer.Option(help="Mix all channels, or transcribe each by itself.")
    ] = "mix",
    timestamps: Annotated[
        Literal["none", "sentence", "word"], typer.Option(help="What times the JSON carries.")
    ] = "word",
    hotword: Annotated[
        list[str] | None, typer.Option(metavar="PHRASE", help="A phrase to favour; give it again for more.")
    ] = None,
    demo_model: Annotated[
        bool, typer.Option("--demo-model", help="Use the small model that ships with the package.")
    ] = False,
    config: Config = None,
) -> None:
    """Transcribe files or objects, without Kafka. A file that fails is named on stderr; the others go on."""
    from consumer.commands import transcribe as command

    settings = settings_of(ctx, config)
    request = command.Request(
        paths=tuple(paths),
        formats=tuple(dict.fromkeys(each.value for each in format or [FileFormat.txt])),
        output=output,
        channels=channels,
        timestamps=timestamps,
        hotwords=tuple(hotword or ()),
    )
    raise typer.Exit(command.transcribe(command.with_demo_model(settings) if demo_model else settings, request))


@app.command(
    epilog=examples(
        "tingxie watch",
        "tingxie watch --from-beginning --limit 10",
        "tingxie watch --since 2026-11-23T08:00:00 --no-dead-letters",
        "tingxie watch --json | jq -r .transcript.text",
    )
)
def watch(
    *,
    ctx: typer.Context,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Show what is in the topics already, too.")
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES,
            help="Start with records of that time; local time unless it says otherwise.",
        ),
    ] = None,
    dead_letters: Annotated[bool, typer.Option(help="Follow the dead-letter topic, too.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many records.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines; the default when piped.")] = False,
    config: Config = None,
) -> None:
    """Follow transcripts and dead letters as they come. Commits nothing, so it disturbs no consumer group."""
    from consumer.commands.watch import watch as follow

    if from_beginning and since is not None:
        raise UsageError("--from-beginning and --since exclude each other: give one of them")
    start: Literal["beginning", "end"] | int = "beginning" if from_beginning else "end"
    if (since_ms := epoch_ms(since)) is not None:
        start = since_ms
    follow(settings_of(ctx, config), start, dead_letters=dead_letters, limit=limit, as_json=json)


@app.command(
    epilog=examples(
        "tingxie check --config tingxie.toml",
        "tingxie check --create-topics --partitions 12",
        "tingxie check --no-model    skips what takes longest",
    )
)
def check(
    ctx: typer.Context,
    model: Annotated[bool, typer.Option("--model/--no-model", help="Load the models, too.")] = True,
    create_topics: Annotated[bool, typer.Option("--create-topics", help="Create topics that are missing.")] = False,
    partitions: Annotated[int, typer.Option(min=1, metavar="N", help="Partitions of created topics.")] = 4,
    config: Config = None,
) -> None:
    """Check settings, broker, topics, buckets and models: one line each, with what to do."""
    from consumer.commands.check import check as look

    file = config or ctx.obj
    code = look(lambda: settings_of(ctx, config), file, model=model, create_topics=create_topics, partitions=partitions)
    raise typer.Exit(code)


@app.command(
    epilog=examples(
        "tingxie replay --from 2026-11-01 --to 2026-11-08 --dry-run",
        "tingxie replay --from 2026-11-01 --id upgrade-v2.1 --model-older-than v2.1.0 --rate 20",
        "tingxie replay --partition 3 --from 1200 --to 1300",
        "tingxie replay --from-bucket s3://audio-in/calls/2025/ --only-missing",
    )
)
def replay(
    *,
    ctx: typer.Context,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME|OFFSET", help="The first; default: the oldest there is.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME|OFFSET", help="Up to there, and not with it; default: now.")
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only this one.")] = None,
    key: Annotated[str | None, typer.Option(metavar="GLOB", help="Recordings (bucket/key), with wildcards.")] = None,
    ids: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE", help="Only these bucket/key or event ids, a line each."
        ),
    ] = None,
    only_missing: Annotated[bool, typer.Option("--only-missing", help="Only what has no transcript.")] = False,
    model_older_than: Annotated[
        str | None,
        typer.Option(metavar="REV", help="Only what has no transcript by this model revision or a later one."),
    ] = None,
    for_model: Annotated[
        str | None, typer.Option(metavar="REV", help="Ask for this model revision: what another one hears says so.")
    ] = None,
    copies: Annotated[bool, typer.Option("--copies", help="Also what replays and redrives wrote.")] = False,
    from_bucket: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Recordings below s3://bucket/prefix, not a topic.")
    ] = None,
    topic: Annotated[str | None, typer.Option(metavar="TOPIC", help="Read this; default: the upload topic.")] = None,
    to_topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Write here; default: the upload topic.")
    ] = None,
    replay_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its name; the same again goes on with it.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, metavar="N", help="At most so many records a second.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")] = False,
    config: Config = None,
) -> None:
    """Send upload events again, so that their recordings are transcribed once more. Run twice, it sends once.

    What retention removed before it was read is told, and the exit code is 1 then.
    """
    from consumer.commands import replay as command
    from consumer.commands.replay_selection import Bound, Choice, new_id, read_ids

    if from_bucket is not None and topic is not None:
        raise UsageError("--from-bucket and --topic exclude each other: give one of them")
    settings = settings_of(ctx, config)
    choice = Choice(
        topic=topic or settings.topics.uploads,
        start=Bound.parse("--from", start),
        end=Bound.parse("--to", end),
        partition=partition,
        key=key,
        ids=None if ids is None else read_ids(ids),
        bucket=from_bucket,
        copies=copies,
        only_missing=only_missing,
        model_older_than=model_older_than,
    )
    target = to_topic or settings.topics.uploads
    request = command.Request(new_id(replay_id), choice, target, for_model, rate, dry_run)
    raise typer.Exit(command.replay(settings, request))


app.add_typer(dead_letters)


@app.command(epilog=examples("tingxie version", "tingxie version --json"))
def version(json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Print the versions of this program, Python, and the libraries that matter to it."""
    from consumer.commands.version import show_version

    show_version(as_json=json)


def main() -> None:
    """Entry point of the command."""
    app(prog_name="tingxie")
