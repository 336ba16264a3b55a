"""Measures the shipped models on held-out recordings: `python -m training.evaluate --work evaluation`.

The recordings go through the product's own command. A missed target is exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from training import test_set
from training.scoring import ErrorRate, SentenceEnds, character_errors, sentence_ends
from training.test_set import Recording
from training.transcribers import TRANSCRIBERS

MODELS = Path("consumer/demo/models")


class Target(NamedTuple):
    """The highest rate of character errors that a group of recordings may have."""

    group: str
    highest: float


TARGETS = (Target("grammar", 0.01), Target("free", 0.03))
SENTENCE_END_TARGET = 0.90


def print_errors(recordings: Sequence[Recording], texts: Mapping[Path, str], worst: int) -> dict[str, ErrorRate]:
    """Prints the character error rate by condition, and the worst transcripts; returns the rates."""
    totals: defaultdict[str, ErrorRate] = defaultdict(ErrorRate)
    counts: defaultdict[str, int] = defaultdict(int)
    rated = []
    for recording in recordings:
        errors = character_errors([(recording.text, texts[recording.path])])
        rated.append((errors, recording))
        for condition in recording.conditions:
            totals[condition] += errors
            counts[condition] += 1
    print(f"{'condition':24} {'recordings':>10} {'characters':>10} {'errors':>7} {'rate':>7}")
    for condition, total in totals.items():
        row = f"{condition:24} {counts[condition]:10} {total.characters:10} {total.errors:7} {total.rate:7.2%}"
        print(row)
    for errors, recording in sorted(rated, key=lambda pair: -pair[0].errors)[:worst]:
        if errors.errors:
            print(f"  {recording.path.name}: {recording.text} -> {texts[recording.path]}")
    return dict(totals)


def print_sentence_ends(recordings: Sequence[Recording], texts: Mapping[Path, str]) -> SentenceEnds:
    """Prints and returns how the sentence ends of the recordings with several sentences came out."""
    total = SentenceEnds()
    for recording in recordings:
        if recording.group == "several":
            total += sentence_ends(recording.text, texts[recording.path])
    print(f"sentence ends: {total.right} of {total.expected} right ({total.accuracy:.1%}), {total.unexpected} too many")
    return total


def missed(rates: Mapping[str, ErrorRate], ends: SentenceEnds) -> list[str]:
    """The targets that were not met."""
    faults = [
        f"{target.group}: {rates[target.group].rate:.2%} is above {target.highest:.0%}"
        for target in TARGETS
        if rates[target.group].rate > target.highest
    ]
    if ends.accuracy < SENTENCE_END_TARGET:
        faults.append(f"sentence ends: {ends.accuracy:.1%} is below {SENTENCE_END_TARGET:.0%}")
    return faults


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="scratch folder for the recordings")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the three model folders")
    parser.add_argument("--rounds", type=int, default=1, help="times that each sentence is said, each in its own way")
    parser.add_argument("--with", dest="transcriber", choices=TRANSCRIBERS, default="tingxie")
    parser.add_argument("--worst", type=int, default=20, help="transcripts with errors to print")
    parser.add_argument("--texts", type=Path, help="also write truth and transcript of each recording to this file")
    arguments = parser.parse_args()
    recordings = test_set.make(arguments.work, arguments.rounds)
    texts = TRANSCRIBERS[arguments.transcriber](arguments.models, [recording.path for recording in recordings])
    rates = print_errors(recordings, texts, arguments.worst)
    ends = print_sentence_ends(recordings, texts)
    if arguments.texts:
        lines = [{"file": r.path.name, "truth": r.text, "text": texts[r.path]} for r in recordings]
        arguments.texts.write_text(json.dumps(lines, ensure_ascii=False, indent=1), encoding="utf-8")
    faults = missed(rates, ends)
    for fault in faults:
        print(f"missed target: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
