"""Keeps some tables, columns and operations, in Rust. Never drops a key column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar

from tailrace import _native
from tailrace.error import ConfigError
from tailrace.model import Batch, Table

__all__ = ["Select"]

_OPS = "cudrtm"


@dataclass(frozen=True, slots=True)
class Select:
    """Keep what matches: `schema.table` and `schema.table.column` globs, op letters. None keeps all; keys stay."""

    kind: ClassVar[str] = "select"
    tables: tuple[str, ...] | None = None
    exclude_tables: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    exclude_columns: tuple[str, ...] = ()
    ops: str | None = None
    _select: _native.Select = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.ops is not None and (not self.ops or set(self.ops) - set(_OPS)):
            raise ConfigError(f"select: ops = {self.ops!r} is not made of the letters {_OPS}")
        select = _native.Select(
            tables=self.tables,
            exclude_tables=self.exclude_tables,
            columns=self.columns,
            exclude_columns=self.exclude_columns,
            ops=self.ops,
        )
        object.__setattr__(self, "_select", select)

    def unmatched(self, tables: Sequence[Table]) -> list[str]:
        """See `Selective.unmatched`."""
        there = [str(table) for table in tables]
        columns = [f"{table}.{column.name}" for table in tables for column in table.columns]
        asked = [(glob, there) for glob in (*(self.tables or ()), *self.exclude_tables)]
        asked += [(glob, columns) for glob in (*(self.columns or ()), *self.exclude_columns)]
        return [glob for glob, names in asked if not any(fnmatchcase(name, glob) for name in names)]

    def __call__(self, batch: Batch) -> Batch:
        """The changes of `batch` that match."""
        return self._select(batch)
