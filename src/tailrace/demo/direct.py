"""PostgreSQL into DuckDB and into a handler, side by side in one process. Never starts it: see `stage`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tailrace.demo.compare import Compared, Shop, duckdb_rows, handler_rows
from tailrace.demo.pipelines import NAMES
from tailrace.demo.plot import Act, Part
from tailrace.demo.progress import confirmed


@dataclass(slots=True)
class Direct:
    """See `Plot`."""

    title: ClassVar[str] = "tailrace demo"
    setting: ClassVar[str] = "PostgreSQL 18 from its wheel"
    roads: ClassVar[Mapping[str, str]] = {name: f"PostgreSQL → {name}" for name in NAMES}
    targets: ClassVar[Mapping[str, tuple[str, ...]]] = {name: (name,) for name in NAMES}
    victims: ClassVar[Sequence[str]] = ("pipelines", "pipelines")
    _folder: Path = Path()
    _url: str = ""

    def build(self, folder: Path, url: str, *, stack: ExitStack) -> Sequence[Act]:
        """One act: both pipelines."""
        self._folder, self._url = folder, url
        part = Part("pipelines", (url, str(folder)), NAMES)
        return [Act({"pipelines": part}, lambda each: each.state == "streaming", "both pipelines are streaming")]

    def arrived(self, lsn: str) -> bool:
        """See `Plot.arrived`."""
        return confirmed(self._url, lsn) == len(NAMES)

    def compare(self) -> list[Compared]:
        """See `Plot.compare`."""
        with Shop(self._url) as shop:
            return [
                *shop.compare("duckdb", duckdb_rows([self._folder / "copy.duckdb"]), typed=True),
                *shop.compare("handler", handler_rows(self._folder / "handler.sqlite"), typed=False),
            ]
