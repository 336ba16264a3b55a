"""Findings as the table that is printed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.faults.checker import ABOUT_COMMITS, MUST_BE_ZERO, Findings

SHOWN = 20
"""Violations told one by one; more of them say nothing new."""


def table(columns: Mapping[str, Findings]) -> str:
    """One line for each count and each promise, one column for each run, plain text that is Markdown, too.

    Args:
        columns: findings by heading.
    """
    counts = list(dict.fromkeys(name for findings in columns.values() for name in findings.counts))
    rows = [["", *columns, "must be"]]
    rows += [[name, *(str(each.counts.get(name, 0)) for each in columns.values()), ""] for name in counts]
    rows += [[rule, *(_cell(each, rule) for each in columns.values()), "0"] for rule in MUST_BE_ZERO]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (rows[0], rule, *rows[1:]))


def explanations(findings: Findings) -> list[str]:
    """The first violations of each rule, a line for each."""
    lines: list[str] = []
    for rule in MUST_BE_ZERO:
        found = [each.what for each in findings.violations if each.rule == rule]
        lines += [f"{rule}: {what}" for what in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"{rule}: and {len(found) - SHOWN} more")
    return lines


def _cell(findings: Findings, rule: str) -> str:
    return "not checked" if rule in ABOUT_COMMITS & findings.unchecked else str(findings.broken(rule))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = row
    cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
    return f"| {' | '.join(cells)} |"
