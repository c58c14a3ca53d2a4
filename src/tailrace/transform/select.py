"""Keeps some tables, columns and operations, in Rust. Never drops a key column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace import _native
from tailrace.error import ConfigError
from tailrace.model import Batch, Table
from tailrace.pattern import refuse_left_out_alone

__all__ = ["Select"]

_OPS = "cudrtm"
_PATTERNS = ("tables", "exclude_tables", "columns", "exclude_columns")


@dataclass(frozen=True, slots=True)
class Select:
    """Keep some tables, columns and ops. Patterns are of `schema.table` and of `schema.table.column`.

    A pattern is a glob, a regular expression between slashes, or, behind `!`, what is left out of what others of its
    list match (`["*.*", "!public.x"]`); None keeps all. What `exclude_…` matches goes, but for key columns, which
    always stay. `ops` has the letters of the changes to keep. `ConfigError` for other letters, for what is no regular
    expression, and for a list that only leaves out.
    """

    kind: ClassVar[str] = "select"
    tables: Sequence[str] | None = None
    exclude_tables: Sequence[str] = ()
    columns: Sequence[str] | None = None
    exclude_columns: Sequence[str] = ()
    ops: str | None = None
    _select: _native.Select = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.ops is not None and (not self.ops or set(self.ops) - set(_OPS)):
            raise ConfigError(f"select: ops = {self.ops!r} is not made of the letters {_OPS}")
        for name in _PATTERNS:
            given = getattr(self, name)
            if isinstance(given, str):
                raise ConfigError(f"select: {name} is one text", hint=f"write it as a list: [{given!r}]")
            object.__setattr__(self, name, None if given is None else tuple(given))
        try:
            select = _native.Select(
                tables=self.tables,
                exclude_tables=self.exclude_tables,
                columns=self.columns,
                exclude_columns=self.exclude_columns,
                ops=self.ops,
            )
        except ValueError as error:
            raise ConfigError(f"select: {error}") from error
        for name in _PATTERNS:
            refuse_left_out_alone("select: ", name, getattr(self, name) or ())
        object.__setattr__(self, "_select", select)

    def unmatched(self, tables: Sequence[Table]) -> list[str]:
        """See `Selective.unmatched`."""
        there = [str(table) for table in tables]
        columns = [f"{table}.{column.name}" for table in tables for column in table.columns]
        asked = [(glob, there) for glob in (*(self.tables or ()), *self.exclude_tables)]
        asked += [(glob, columns) for glob in (*(self.columns or ()), *self.exclude_columns)]
        read = [(glob, _native.Globs([glob.removeprefix("!")]), names) for glob, names in asked]
        return [glob for glob, globs, names in read if not any(map(globs.matches, names))]

    def __call__(self, batch: Batch) -> Batch:
        """The changes of `batch` that match."""
        return self._select(batch)
