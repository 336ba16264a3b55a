"""Write docs/metrics.md from the metrics themselves: ``python scripts/metrics_reference.py [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

from consumer.operations.metrics import Metrics

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
HEAD = """# Metrics

Written from `consumer/operations/metrics.py` by `make docs`; do not edit.

Served as `/metrics` on `telemetry.port` (9464) in Prometheus' text format. A histogram has `_bucket`, `_sum` and
`_count`; counters and histograms also have a `_created` with the time they began. The chart in
[helm/tingxie](../helm/tingxie/README.md) comes with alerts and a dashboard.

| metric | kind | labels | what it is |
| --- | --- | --- | --- |
"""


def reference() -> str:
    """The page as Markdown."""
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.meaning} |\n"
        for each in Metrics().described()
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.read_text() == reference() else f"{PAGE} is not what the metrics say; run `make docs`")
    PAGE.write_text(reference())
