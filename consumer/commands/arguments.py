"""What the commands' arguments have in common. Imports nothing heavy."""
# ruff: noqa: PLC0415 - settings are imported when a command is called: --help and completion must be quick

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from consumer.settings import Settings

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        readable=True,
        help="TOML file with settings; the environment (TINGXIE_<SECTION>__<NAME>) wins over it.",
    ),
]

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
"""How a time may be written; local time unless it says otherwise."""


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(("[bold]Examples[/bold]", *(f"  {line}" for line in lines)))


def settings_of(ctx: typer.Context, config: Path | None) -> Settings:
    """Settings of this call; ``--config`` may stand before or after the command."""
    from consumer.settings import load_settings

    return load_settings(config or ctx.find_root().obj)


def epoch_ms(moment: datetime | None) -> int | None:
    """Epoch milliseconds of a time; one without a zone is local."""
    return None if moment is None else round(moment.timestamp() * 1000)
