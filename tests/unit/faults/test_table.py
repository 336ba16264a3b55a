from __future__ import annotations

from tests.faults.checker import ABOUT_COMMITS, LOST, MUST_BE_ZERO, Findings, Violation
from tests.faults.table import SHOWN, explanations, table

CLEAN = Findings({"records in": 12}, ())
BROKEN = Findings({"records in": 7}, tuple(Violation(LOST, f"r{number}") for number in range(30)), ABOUT_COMMITS)


def test_the_table_has_a_row_for_each_promise_and_a_column_for_each_run() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table({"one": CLEAN, "two": BROKEN}).splitlines()
    ]
    assert rows[0] == ["", "one", "two", "must be"]
    by_name = {row[0]: row[1:] for row in rows[2:]}
    assert by_name["records in"] == ["12", "7", ""]
    assert by_name[LOST] == ["0", "30", "0"]
    assert set(by_name) == {"records in", *MUST_BE_ZERO}
    for rule in ABOUT_COMMITS:
        assert by_name[rule] == ["0", "not checked", "0"]


def test_lines_are_of_one_width() -> None:
    assert len({len(line) for line in table({"one": CLEAN, "two": BROKEN}).splitlines()}) == 1


def test_violations_are_told_until_they_say_nothing_new() -> None:
    lines = explanations(BROKEN)
    assert lines[0] == f"{LOST}: r0"
    assert len(lines) == SHOWN + 1
    assert lines[-1] == f"{LOST}: and 10 more"
    assert explanations(CLEAN) == []
