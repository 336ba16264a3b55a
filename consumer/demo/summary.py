"""What the demo says before and after: addresses, the proof read from the topics, and where to go from there."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from consumer.demo.assets import DROP_FOLDER
from consumer.demo.board import Totals
from consumer.demo.samples import Ending, Sample
from consumer.demo.serving import TOPICS
from consumer.demo.table import counted, totals_line
from consumer.transcript.cer import CharacterErrors


def opening(broker: str, bucket: str) -> Text:
    """What runs, and where."""
    return Text.assemble(
        ("Kafka   ", "dim"),
        broker,
        ("  librdkafka's mock cluster, in this process\n", "dim"),
        ("bucket  ", "dim"),
        bucket,
        ("  moto, in this process\n", "dim"),
        ("topics  ", "dim"),
        f"{TOPICS.uploads} → {TOPICS.transcripts} | {TOPICS.dead_letters}\n",
        ("models  ", "dim"),
        "Paraformer, FSMN-VAD, CT-Transformer",
        ("  small ones, for synthetic speech\n", "dim"),
    )


def result(
    totals: Totals, endings: Mapping[str, Ending], errors: CharacterErrors, wrong: Sequence[str], samples: int
) -> Text:
    """What the topics hold, compared with the truth.

    Args:
        totals: as the screen counted.
        endings: as read from the topics.
        errors: of the transcripts read.
        wrong: samples that did not end as they should.
        samples: how many there are.
    """
    letters = sum(each.status == "dead-letter" for each in endings.values())
    text = Text("\n")
    text.append_text(totals_line(totals))
    text.append(
        f"\nread back from the topics: {counted(len(endings) - letters, 'transcript')}, "
        f"{counted(letters, 'dead letter')}\n"
    )
    text.append(
        f"character error rate {errors.rate:.2%} ({errors.edits} of {errors.characters} characters, "
        "punctuation left out)\n"
    )
    if not wrong:
        return text.append(f"✔ all {samples} samples ended as they should", style="green")
    text.append(f"✘ {len(wrong)} of {samples} samples did not end as they should", style="bold red")
    for line in wrong:
        text.append(f"\n  {line}", style="red")
    return text


def next_steps(samples: Sequence[Sample]) -> Text:
    """Commands to try."""
    command = program()
    spoken = next((sample for sample in samples if sample.expect == "completed"), None)
    path = shlex.quote(shown(spoken.path)) if spoken is not None else "FILE"
    text = Text("\nTry next\n", style="bold")
    steps = (
        (f"{command} demo --keep {DROP_FOLDER}", "stays up and transcribes what is dropped into that folder"),
        (f"{command} transcribe --demo-model {path}", "files, without Kafka"),
        ("docker compose up", "in a clone: a real Kafka and a bucket that emits events"),
        (f"{command} check", "your own broker and bucket, see README.md"),
    )
    for step, what in steps:
        text.append(f"  {step}", style="cyan")
        text.append(f"\n      {what}\n", style="dim")
    text.rstrip()
    return text


def watching(folder: Path, broker: str) -> Text:
    """Where to drop files, and how to follow the topics from another terminal."""
    return Text.assemble(
        ("\nDrop recordings into ", "bold"),
        (str(folder.resolve()), "bold cyan"),
        ("\nFrom another terminal: ", "dim"),
        (f"TINGXIE_KAFKA__BOOTSTRAP_SERVERS={broker} {program()} watch\n", "cyan"),
    )


def program() -> str:
    """How this program can be called again from here."""
    here = Path(sys.argv[0])
    if here.name != "tingxie":
        return f"{shlex.quote(shown(Path(sys.executable)))} -m consumer"
    found = shutil.which("tingxie")
    return "tingxie" if found is not None and Path(found).samefile(here) else shlex.quote(shown(here))


def shown(path: Path) -> str:
    """A path as a person would type it here: relative where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return str(path)
    return min(relative, str(path.absolute()), key=len)
