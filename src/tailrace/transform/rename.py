"""Gives tables and columns other names, in Rust. Never changes a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace import _native
from tailrace.error import ConfigError
from tailrace.model import Batch, Table

__all__ = ["Rename"]


@dataclass(frozen=True, slots=True)
class Rename:
    """Give tables and columns other names: `schema.table` to `schema.table`, `schema.table.column` to a column's name.

    `ConfigError` when two tables, or two columns of one, would have one name.
    """

    kind: ClassVar[str] = "rename"
    names: Mapping[str, str]
    _rename: _native.Rename = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        try:
            rename = _native.Rename(dict(self.names))
        except ValueError as error:
            raise ConfigError(f"rename: {error}") from error
        object.__setattr__(self, "_rename", rename)

    def _check(self) -> None:
        """Two tables of one name are an error at once: the process that reads one need never see the other."""
        taken: dict[str, str] = {}
        for old, new in self.names.items():
            if old.count(".") == 1 and taken.setdefault(new, old) != old:
                raise ConfigError(f"rename: both {taken[new]} and {old} would be {new}")

    def unmatched(self, tables: Sequence[Table]) -> list[str]:
        """See `Selective.unmatched`."""
        there = {str(table) for table in tables} | {f"{table}.{c.name}" for table in tables for c in table.columns}
        return [name for name in self.names if name not in there]

    def __call__(self, batch: Batch) -> Batch:
        """The changes of `batch` under the new names."""
        return self._rename(batch)
