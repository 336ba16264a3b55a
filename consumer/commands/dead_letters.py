"""Arguments of ``tingxie dead-letters``. Imports nothing heavy before a command is called."""
# ruff: noqa: PLC0415 - commands are imported when they are called: --help and completion must be quick

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.commands.arguments import TIMES, Config, epoch_ms, examples, settings_of

if TYPE_CHECKING:
    from consumer.commands.letters import Selection

dead_letters = typer.Typer(
    name="dead-letters",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Look at dead letters, and send them again once their cause is mended.",
    epilog=examples(
        "tingxie dead-letters list --since 2026-11-23",
        "tingxie dead-letters show 0:17",
        "tingxie dead-letters redrive --class 'storage_*' --dry-run",
        "tingxie dead-letters export --output letters.jsonl",
    ),
)

Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="GLOB", help="Name of the cause, with wildcards; give it again for more."),
]
Stages = Annotated[
    list[str] | None,
    typer.Option("--stage", metavar="STAGE", help="Where it went wrong: event, fetch, decode, engine, store, publish."),
]
Topics = Annotated[list[str] | None, typer.Option("--topic", metavar="TOPIC", help="The topic they came from.")]
Key = Annotated[
    str | None,
    typer.Option(metavar="GLOB", help="The recording (bucket/key), else the record's key, with wildcards."),
]
Since = Annotated[
    datetime | None, typer.Option(formats=TIMES, help="Written then or later; local time unless it says otherwise.")
]
Until = Annotated[datetime | None, typer.Option(formats=TIMES, help="Written before.")]


def _selection(  # noqa: PLR0917 - as the options stand
    classes: list[str] | None,
    stages: list[str] | None,
    topics: list[str] | None,
    key: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Selection:
    from consumer.commands.letters import Selection

    return Selection(
        classes=tuple(classes or ()),
        stages=tuple(stages or ()),
        topics=tuple(topics or ()),
        key=key,
        since_ms=epoch_ms(since),
        until_ms=epoch_ms(until),
    )


@dead_letters.command(
    "list",
    epilog=examples(
        "tingxie dead-letters list",
        "tingxie dead-letters list --class 'storage_*' --since 2026-11-23T08:00:00",
        "tingxie dead-letters list --key 'audio-in/calls/*' --json | jq -r .dead_letter.message",
    ),
)
def list_(
    *,
    ctx: typer.Context,
    classes: Classes = None,
    stage: Stages = None,
    topic: Topics = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were redriven, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines; the default when piped.")] = False,
    config: Config = None,
) -> None:
    """List dead letters that were not redriven yet."""
    from consumer.commands.letter_views import list_letters

    chosen = _selection(classes, stage, topic, key, since, until)
    list_letters(settings_of(ctx, config), chosen, everything=everything, as_json=json)


@dead_letters.command(epilog=examples("tingxie dead-letters show 0:17"))
def show(
    ctx: typer.Context,
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `list` prints it.")],
    config: Config = None,
) -> None:
    """Print the headers and the event of a dead letter."""
    from consumer.commands.letter_views import show_letter

    show_letter(settings_of(ctx, config), place)


@dead_letters.command(
    epilog=examples(
        "tingxie dead-letters redrive --dry-run",
        "tingxie dead-letters redrive --class 'storage_*' --since 2026-11-23T08:00:00",
        "tingxie dead-letters redrive --key 'audio-in/calls/*' --rate 20",
    )
)
def redrive(
    *,
    ctx: typer.Context,
    classes: Classes = None,
    stage: Stages = None,
    topic: Topics = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    to_topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Where to; default: the topic that each came from.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="One that was redriven so often stays.")] = 3,
    rate: Annotated[float | None, typer.Option(min=0.01, metavar="N", help="At most so many a second.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    config: Config = None,
) -> None:
    """Send dead letters again, with their key, bytes and headers; each once, however often this is run."""
    from consumer.commands.redrive import Request
    from consumer.commands.redrive import redrive as send

    chosen = _selection(classes, stage, topic, key, since, until)
    send(settings_of(ctx, config), Request(chosen, to_topic, most, rate, dry_run))


@dead_letters.command(
    epilog=examples(
        "tingxie dead-letters export --output letters.jsonl",
        "tingxie dead-letters export --class poison_record | gzip > poison.jsonl.gz",
    )
)
def export(
    *,
    ctx: typer.Context,
    classes: Classes = None,
    stage: Stages = None,
    topic: Topics = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="A new file; default: stdout.")
    ] = None,
    config: Config = None,
) -> None:
    """Write dead letters as JSON lines that keep every byte, redriven or not."""
    from consumer.commands.letter_views import export_letters

    export_letters(settings_of(ctx, config), _selection(classes, stage, topic, key, since, until), output)
