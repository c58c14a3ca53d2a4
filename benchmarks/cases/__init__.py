"""One case a file: `NAMES` are the rows that it makes, `measure(bench)` makes them. Found by being here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

from benchmarks.bench import Bench
from benchmarks.result import Row


class Case(Protocol):
    """What each module of this package is."""

    NAMES: Sequence[str]

    def measure(self, bench: Bench) -> list[Row]:
        """Run the case; one row for each of `NAMES`."""
        ...


def cases(only: Sequence[str] = ()) -> Iterator[Case]:
    """All cases, or those that make a row named in `only`."""
    for module in pkgutil.iter_modules(__path__):
        case = cast(Case, importlib.import_module(f"{__name__}.{module.name}"))
        if not only or set(only) & set(case.NAMES):
            yield case
