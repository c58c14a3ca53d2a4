"""Makes docs/reference/faults.md from what the tests showed: `python -m tests.fault.page`. Never runs a test."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fault.row import declared
from tests.outcome import FAULTS

PAGE = FAULTS.parents[1] / "docs" / "reference" / "faults.md"
_HEAD = """\
# Faults

What happens when something breaks. Each row is a test that makes the fault on real servers. Where a pipeline goes on,
the test compares the target with the source, or with the ledger of what was acknowledged: every row, once, whole
transactions in order; the rows of Kafka compare what they say. A pipeline that stops prints the message, no traceback
and no value of a row, and its target holds a prefix of what was committed: nothing twice, nothing beyond; `…` stands
for what differs. “Goes on” means without a restart, “waits” that it tries again with growing pauses until the fault
has passed.

Tailrace itself was killed by kill -9 {kills} times for the rows of `tests/crash/test_kills.py`, judged by the same
ledger; each counts its own.

Made from the results of `pytest -m fault` by `python -m tests.fault.page`: do not edit.
"""
_LINE = re.compile(r"^\| (?!fault \||---)(.*?) \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)
_KILLS = re.compile(r"(\d+) kills")


def page(results: Mapping[str, Mapping[str, Any]], before: str = "") -> str:
    """The page, of the last result of each test; a row that was not run stays as it stands in the page `before`."""
    lines, title, kills = [], "", 0
    kept = {(fault, where, end): shown for fault, where, end, shown in listed(before)}
    for row, part in declared().items():
        if part != title:
            title = part
            lines.append(f"\n## {part}\n\n| fault | where | what happens | shown with |\n|---|---|---|---|\n")
        told = [result for result in results.values() if tuple(result["row"]) == row.cells]
        shown = _shown(told) if told else kept.get(row.cells, "not run")
        kills += counted(shown)
        lines.append("| " + " | ".join(_escaped(cell) for cell in (*row.cells, shown)) + " |\n")
    return "".join([_HEAD.format(kills=kills), *lines])


def counted(shown: str) -> int:
    """How many kills of Tailrace stand in what a row was shown with."""
    return sum(int(count) for count in _KILLS.findall(shown))


def listed(text: str) -> list[tuple[str, str, str, str]]:
    """The rows of a page, as they stand there."""
    return [tuple(cell.replace("\\|", "|") for cell in found) for found in _LINE.findall(text)]  # type: ignore[misc]


def _shown(results: Sequence[Mapping[str, Any]]) -> str:
    if any(result["outcome"] == "failed" for result in results):
        return "**not so**"
    passed = [result for result in results if result["outcome"] == "passed"]
    if not passed:
        return f"not run: {results[0]['why'].removeprefix('Skipped: ')}"
    return "; ".join(sorted({each for result in passed for each in result["with"]}))


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(FAULTS.read_text()), PAGE.read_text()))
