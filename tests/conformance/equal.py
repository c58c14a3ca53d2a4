"""Makes docs/reference/debezium-equal.md from what the tests showed: `python -m tests.conformance.equal`. Runs none.

With `--check` it fails where the page says something else. `make test` ends with that, when all results are there: a
test of the suite may run before them. Under `CI=true` every line must have been shown by this very run.

A line is declared by the tests that show it, with `line_of` in a mark; the page says of each how many records were
compared, and `not equal` where one of its tests did not pass.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import generated
from tests.conformance.cases import Case, Values
from tests.conformance.chains import CHAINS, Chain
from tests.conformance.differences import DIFFERENCES
from tests.conformance.modes import MODES, Mode
from tests.conformance.settings import SETTINGS, Setting
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES
from tests.outcome import EQUAL

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "debezium-equal.md"
SEED = 20261122
CHANCE = (*generated.cases(seed=SEED), *generated.families(seed=SEED))
CHAIN_RUNS = 6
"""Each chain is compared with schemas and without, with the block of transactions and without, and with times in other
units: nanoseconds, and Connect's own types."""
_HEAD = """\
# What is equal to Debezium's

Each line is a test, or several, that run the real engine, Debezium 3.6, and Tailrace on the same database and the same
statements, and compare every record's topic, key, value, headers and partition, byte for byte, in a snapshot and in
the stream. What differs by nature is blanked, if it has the right form; what differs on purpose, {differences} places,
is in [Debezium's events](debezium.md), each with a test of both sides.

{total} comparisons. Made from the results of `pytest tests/conformance` by `python -m tests.conformance.equal`: do not
edit.
"""
_PARTS = {
    "Types": ("test_equal.py", "table", "columns, each with several values"),
    "Shapes": ("test_equal.py", "table", "first statement of"),
    f"Values by chance, from the seed {SEED}": ("test_equal.py", "table", "columns"),
    "Options, over types and shapes": ("test_modes.py", "options", "tables"),
    "Options of keys, names, headers, topics and transactions": ("test_settings.py", "what", "options"),
    "Transforms, with and without schemas and transactions, and over times in other units": (
        "test_chains.py",
        "chain",
        "tables",
    ),
}
_TYPES, _SHAPES, _CHANCE, _MODES, _SETTINGS, _CHAINS = _PARTS
_TOLD = 20
"""So many lines of a page are told that is stale."""
_EQUAL = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the page without its last cell; `tests` are needed to fill that."""

    part: str
    what: str
    told: str
    tests: int = 1

    @property
    def cells(self) -> tuple[str, str, str]:
        """What it says whatever its tests showed."""
        return self.part, self.what, self.told


def line_of(compared: Case | Mode | Setting | Chain) -> Line:
    """Where the comparison is on the page."""
    match compared:
        case Mode():
            tests = len(compared.cases) + 1
            return Line(_MODES, _options(compared.options), _names(compared.cases), tests)
        case Setting():
            return Line(_SETTINGS, compared.name, _options(compared.options))
        case Chain():
            return Line(_CHAINS, compared.name, _names(compared.cases()), CHAIN_RUNS)
        case Values():
            part = _TYPES if compared in VALUES else _CHANCE
            return Line(part, compared.name, f"`{_flat(compared.columns)}`")
    statements = [*compared.before(), *(step if isinstance(step, str) else step[0] for step in compared.after())]
    return Line(_SHAPES, compared.name, f"`{_flat(statements[0])}`")


def mark(compared: Case | Mode | Setting | Chain) -> pytest.MarkDecorator:
    """Declares that a test, or a parameter of it, shows the line."""
    return pytest.mark.equal(line_of(compared))


def lines() -> list[Line]:
    """All that the page has, in order."""
    return [line_of(each) for each in (*VALUES, *SHAPES, *CHANCE, *MODES, *SETTINGS, *CHAINS)]


def page(results: Mapping[str, Mapping[str, Any]], before: str = "") -> str:
    """The page, of the last result of each test; a line whose tests were not all run stays as it is in `before`."""
    found = lines()
    total = sum(line.tests for line in found)
    kept, written, part = listed(before), [_HEAD.format(total=total, differences=len(DIFFERENCES))], ""
    for line in found:
        if line.part != part:
            part = line.part
            file, *head = _PARTS[part]
            written.append(f"\n## {part}\n\n`tests/conformance/{file}`\n\n| {head[0]} | {head[1]} | equal records |\n")
            written.append("|---|---|---|\n")
        told = [result for result in results.values() if tuple(result["row"]) == line.cells]
        shown = _shown(told, line.tests) or kept.get(line.cells, "not run")
        written.append(f"| {' | '.join(map(_escaped, (line.what, line.told, shown)))} |\n")
    return "".join(written)


def stale(results: Mapping[str, Mapping[str, Any]], shown: str, *, whole: bool) -> list[str]:
    """The lines of a page that it would not have if it were made now; `whole`: from these results alone."""
    made = page(results, "" if whole else shown)
    return sorted(set(shown.splitlines()) ^ set(made.splitlines()))


def listed(text: str) -> dict[tuple[str, str, str], str]:
    """The lines of a page, as they stand there: what the last cell says of each."""
    found, part = {}, ""
    for line in text.splitlines():
        if line.startswith("## "):
            part = line.removeprefix("## ")
        elif part and line.startswith("| ") and not line.endswith("| equal records |"):
            cells = [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\) \| ", line[2:-2])]
            if len(cells) == 3:
                found[part, cells[0], cells[1]] = cells[2]
    return found


def is_equal(shown: str) -> bool:
    """Whether the last cell says that all records were equal, and that there were some."""
    return _EQUAL.fullmatch(shown) is not None and int(shown) > 0


def _shown(results: Sequence[Mapping[str, Any]], tests: int) -> str | None:
    if any(result["outcome"] == "failed" for result in results):
        return "**not equal**"
    passed = [result for result in results if result["outcome"] == "passed"]
    return str(sum(result["records"] for result in passed)) if len(passed) == tests else None


def _names(cases: Sequence[Case]) -> str:
    return ", ".join(_flat(case.name) for case in cases)


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"`{name} = {value}`" for name, value in options.items()) or "the defaults"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _check(whole: bool) -> str | None:
    results = json.loads(EQUAL.read_text()) if EQUAL.exists() else {}
    if wrong := stale(results, PAGE.read_text(), whole=whole):
        told = "\n".join(line[:200] for line in wrong[:_TOLD])
        return f"{told}\n{PAGE.name} is stale in {len(wrong)} line(s): python -m tests.conformance.equal"
    return None


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(_check(os.environ.get("CI") == "true"))
    PAGE.write_text(page(json.loads(EQUAL.read_text()), PAGE.read_text()))
