"""Finds the table that holds a source's table, and how names, columns and types map. Never moves rows.

What it runs belongs to the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import Fatal
from tailrace.model import Table

__all__ = ["Target", "TargetColumn", "Targets"]

_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column that is written: its name in the source, its name in the target, the target's type as SQL."""

    source: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Target:
    """One version of a source's table, and the table that holds its rows.

    `columns` are in the order of the source; those that are generated on either side are left out. `key` has names of
    the target, those of `constants` included; it is empty when rows have no key. `constants` are the columns that tell
    the rows of this pipeline from those of others, with the text of their value.
    """

    source: Table
    name: sql.Composed
    columns: tuple[TargetColumn, ...]
    key: tuple[str, ...]
    constants: Mapping[str, str] = field(default_factory=dict)


class Targets:
    """The target tables of one pipeline. Every method runs in the transaction of its caller."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ready: dict[tuple[str, str], Target] = {}

    def roll_back(self) -> None:
        """Forget what a transaction that failed has seen."""
        self._ready.clear()

    def prepare(self, table: Table, *, attempt: str | None = None) -> Target:
        """The target of `table`; with a new snapshot `attempt`, made ready to be filled (I15).

        Returns the same object as long as nothing about it has changed.
        """
        ready = self._ready.get((table.schema, table.name))
        if ready is not None and (ready.source is table or ready.source == table):
            return ready
        rows = fetch(self._connection, _COLUMNS, {"schema": table.schema, "name": table.name})
        types: dict[str, str] = dict(rows)
        columns = tuple(TargetColumn(c.name, c.name, types[c.name]) for c in table.columns if c.name in types)
        if not columns:
            raise Fatal(f"there is no table {table} at the target", hint="create it there")
        name = sql.SQL("{}.{}").format(sql.Identifier(table.schema), sql.Identifier(table.name))
        target = self._ready[table.schema, table.name] = Target(table, name, columns, table.key)
        return target
