"""``python -m tests.faults``: break everything for as long as told, and print whether the promises were kept."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.checker import Findings
from tests.faults.faults import FAULTS, left_out
from tests.faults.members import PLAIN, SERVICE
from tests.faults.plan import Strike, make_plan
from tests.faults.play import Truth, open_play
from tests.faults.stage import Stage, open_stage
from tests.faults.table import explanations, table

OURS, REFERENCE = "tingxie", "plain loop"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; 1 when a promise was broken."""
    options = _parser().parse_args(arguments)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    missing = left_out(stage_is_ours=options.cluster is None)
    chosen = [name for name in options.fault or FAULTS if name not in missing]
    tracks = [{name: FAULTS[name].lasts_s for name in chosen if FAULTS[name].track == number} for number in (0, 1)]
    plan = make_plan(seed, options.duration, tracks)
    say(f"seed {seed}, {options.duration:.0f} s, faults: {', '.join(chosen)}")
    for name, why in missing.items():
        say(f"left out: {name}: {why}")
    columns: dict[str, Findings] = {}
    with open_stage(
        bootstrap_servers=options.cluster, properties=json.loads(options.properties), protocol=options.protocol
    ) as stage:
        truth = _run(stage, OURS, None, plan, seed, options, columns)
        if options.plain:
            _run(stage, REFERENCE, truth, plan, seed, options, columns)
        if columns[OURS].violations and options.logs and stage.cluster is not None:
            stage.cluster.save(options.logs)
            say(f"what the brokers hold and all logs are kept in {options.logs}")
    say(table(columns))
    for line in explanations(columns[OURS]):
        say(line)
    return 1 if columns[OURS].violations else 0


def _run(
    stage: Stage,
    name: str,
    truth: Truth | None,
    plan: Sequence[Strike],
    seed: int,
    options: argparse.Namespace,
    columns: dict[str, Findings],
) -> Truth:
    command = PLAIN if name == REFERENCE else SERVICE
    logs = options.logs / name.replace(" ", "-") if options.logs else None
    begun = time.monotonic()
    with open_play(
        stage,
        say=lambda line: say(f"[{name} {time.monotonic() - begun:4.0f} s] {line}"),
        truth=truth,
        members=options.members,
        command=command,
        logs=logs,
    ) as play:
        columns[name] = play.round(plan, duration_s=options.duration, seed=seed, rate=options.rate, prefix="run/")
    return play.truth


def say(line: str) -> None:
    """Print one line now."""
    print(line, flush=True)  # noqa: T201 - the program's output


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Break brokers, network, storage, disk and consumers at random while recordings are uploaded, "
        "heal everything, and check that each record ended once, in order, and rightly.",
        epilog="example: python -m tests.faults --duration 120 --seed 7 --fault consumer-kill --fault leader-kill",
    )
    parser.add_argument("--duration", type=float, default=120.0, metavar="S", help="of the uploads (default: 120)")
    parser.add_argument("--seed", type=int, help="of plan and uploads; the same again, the same plan (default: random)")
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only this one; may be repeated")
    parser.add_argument("--members", type=int, default=3, help="consumers in the group (default: 3)")
    parser.add_argument("--rate", type=float, default=3.0, help="uploads a second (default: 3)")
    parser.add_argument("--protocol", choices=("classic", "consumer"), default="classic", help="of the group")
    parser.add_argument("--plain", action="store_true", help="then a plain loop under the same plan, beside ours")
    parser.add_argument("--cluster", metavar="HOST:PORT,…", help="your own cluster; its brokers are left alone")
    parser.add_argument("--properties", default="{}", metavar="JSON", help="of every client of that cluster")
    parser.add_argument(
        "--logs",
        type=Path,
        metavar="DIR",
        help="keep the consumers' logs here, and the brokers' data when a promise was broken",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
