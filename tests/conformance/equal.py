"""Makes docs/reference/debezium-equal.md from the cases that are compared: `python -m tests.conformance.equal`.

Each line of the page is a test, so that a line that is not true fails. Never runs one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.conformance import generated
from tests.conformance.cases import Case, Values
from tests.conformance.chains import CHAINS
from tests.conformance.differences import DIFFERENCES
from tests.conformance.modes import MODES
from tests.conformance.settings import SETTINGS
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "debezium-equal.md"
SEED = 20261122
_HEAD = """\
# What is equal to Debezium's

Each line is a test that runs the real engine, Debezium 3.6, and Tailrace on the same database and the same statements,
and compares every record's topic, key, value, headers and partition, byte for byte, in a snapshot and in the stream.
What differs by nature is blanked, if it has the right form; what differs on purpose, {differences} places, is in
[Debezium's events](debezium.md), each with a test of both sides.

{total} comparisons. Made from their cases by `python -m tests.conformance.equal`: do not edit.
"""


def page() -> str:
    """The whole page."""
    chance = [*generated.cases(seed=SEED), *generated.families(seed=SEED)]
    found = [*VALUES, *SHAPES, *chance]
    in_modes = sum(len(mode.cases) for mode in MODES)
    total = len(found) + in_modes + len(SETTINGS) + 2 * len(CHAINS)
    return "".join(
        (
            _HEAD.format(total=total, differences=len(DIFFERENCES)),
            _table("Types", "test_equal.py", ("table", "columns, each with several values"), map(_of_type, VALUES)),
            _table("Shapes", "test_equal.py", ("table", "first statement of"), map(_of_shape, SHAPES)),
            _table(
                f"Values by chance, from the seed {SEED}", "test_equal.py", ("table", "columns"),
                map(_of_type, chance),
            ),
            _table(
                "Options, over types and shapes", "test_modes.py", ("options", "tables"),
                ((_options(mode.options), ", ".join(case.name for case in mode.cases)) for mode in MODES),
            ),
            _table(
                "Options of keys, names, headers, topics and transactions", "test_settings.py", ("what", "options"),
                ((each.name, _options({**each.options, **each.debezium})) for each in SETTINGS),
            ),
            _table(
                "Transforms, with and without schemas", "test_chains.py", ("chain", "tables"),
                ((chain.name, ", ".join(case.name for case in chain.cases())) for chain in CHAINS),
            ),
        )
    )  # fmt: skip


def _table(title: str, file: str, head: Sequence[str], rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"| {_escaped(first)} | {_escaped(second)} |\n" for first, second in rows)
    shown = f"\n## {title}\n\n`tests/conformance/{file}`\n\n"
    return f"{shown}| {head[0]} | {head[1]} |\n|---|---|\n{lines}"


def _of_type(case: Case) -> tuple[str, str]:
    return case.name, f"`{case.columns}`" if isinstance(case, Values) else _of_shape(case)[1]


def _of_shape(case: Case) -> tuple[str, str]:
    statements = [*case.before(), *(step if isinstance(step, str) else step[0] for step in case.after())]
    return case.name, f"`{statements[0]}`"


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"`{name} = {value}`" for name, value in options.items()) or "the defaults"


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())


if __name__ == "__main__":
    PAGE.write_text(page())
