"""What the demonstration concludes: only copies that are the same row for row make it end with 0."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from tailrace.demo import stage
from tailrace.demo.compare import Compared, Sum, _sum
from tailrace.demo.plot import Act
from tailrace.demo.tally import PipelineTally, Tally
from tailrace.demo.view import View

ROWS = [(1, "pen", None), (2, "ink", ""), (3, "pad", "x")]


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(ROWS[1:], id="missing"),
        pytest.param([*ROWS, (4, "cap", "y")], id="extra"),
        pytest.param([*ROWS, ROWS[0]], id="doubled"),
        pytest.param([ROWS[0], ROWS[1], ROWS[1]], id="one for another"),
        pytest.param([(1, "pEn", None), *ROWS[1:]], id="changed"),
        pytest.param([(1, "pen", ""), *ROWS[1:]], id="empty for null"),
        pytest.param([(1, "", "pen"), *ROWS[1:]], id="another column"),
        pytest.param([(1, "pen", None), (2, "ink", "x"), (3, "pad", "")], id="cells exchanged"),
        pytest.param([ROWS[0], ROWS[1], (3, "pa", "dx")], id="another boundary"),
        pytest.param([], id="none"),
    ],
)
def test_a_copy_that_differs_in_anything_is_not_identical(copy: Sequence[Sequence[object]]) -> None:
    assert not Compared("duckdb", "products", _sum(ROWS), _sum(copy)).identical


def test_a_copy_with_the_same_rows_in_any_order_is_identical() -> None:
    assert Compared("duckdb", "products", _sum(ROWS), _sum(reversed(ROWS))).identical


@dataclass
class Ended:
    """A plot of which nothing is left to do but to compare."""

    compared: list[Compared]
    title: ClassVar[str] = "tailrace demo"
    setting: ClassVar[str] = "nothing"
    roads: ClassVar[Mapping[str, str]] = {"duckdb": "PostgreSQL → duckdb", "handler": "PostgreSQL → handler"}
    targets: ClassVar[Mapping[str, tuple[str, ...]]] = {"duckdb": ("duckdb",), "handler": ("handler",)}
    victims: ClassVar[Sequence[str]] = ()

    def build(self, folder: Path, url: str, *, stack: ExitStack) -> Sequence[Act]:
        return ()

    def arrived(self, lsn: str) -> bool:
        return True

    def compare(self) -> list[Compared]:
        return self.compared


class Empty(stage.Stage):
    """A stage without a server and without processes."""

    def __init__(self, folder: Path, tally: Tally, plot: stage.Plot, *, stack: ExitStack) -> None:
        pass

    def build(self) -> None:
        pass

    def play(self, view: View, rate: float) -> None:
        pass


def made(duckdb: int, handler: int) -> list[Compared]:
    """Two tables in two copies, of which the second has these checksums in place of 7."""
    same = [Compared(target, "orders", Sum(3, 7), Sum(3, 7)) for target in Ended.targets]
    return [
        *same,
        Compared("duckdb", "lines", Sum(3, 7), Sum(3, duckdb)),
        Compared("handler", "lines", Sum(3, 7), Sum(3, handler)),
    ]


@pytest.mark.parametrize(
    ("compared", "code", "said"),
    [
        pytest.param(made(7, 7), 0, ["yes", "yes"], id="identical"),
        pytest.param(made(7, 8), 1, ["yes", "NO"], id="the handler's copy differs"),
        pytest.param(made(8, 7), 1, ["NO", "yes"], id="the copy in DuckDB differs"),
        pytest.param([], 1, ["NO", "NO"], id="nothing was compared"),
    ],
)
def test_the_exit_code_is_0_only_when_every_copy_is_identical(
    monkeypatch: pytest.MonkeyPatch, compared: list[Compared], code: int, said: list[str]
) -> None:
    monkeypatch.setattr(stage, "Stage", Empty)
    plot = Ended(compared)
    tally = Tally(plot.title, {name: PipelineTally(name, name) for name in plot.roads}, plot.targets, 1.0, 2)
    shown = io.StringIO()
    assert stage._perform(Console(file=shown, width=120), tally, plot, rate=1.0, keep=False) == code
    rows = [line.split() for line in shown.getvalue().splitlines()]
    assert [row[1] for row in rows if row[:1] in (["duckdb"], ["handler"])] == said
    assert shown.getvalue().count("DIFFERENT") == [each.identical for each in compared].count(False)
