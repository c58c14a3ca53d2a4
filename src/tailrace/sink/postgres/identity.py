"""Whether a table of the source is still the one whose rows the target holds. Never runs SQL.

A table that is dropped and created again, or that takes another's name, has another oid (`pg_class.oid`); one that is
altered, rewritten or renamed keeps it, and so does pg_upgrade.
"""

from __future__ import annotations

from psycopg import sql

from tailrace.dialect.postgres.session import statement_text
from tailrace.error import Fatal
from tailrace.model import Table
from tailrace.sink.postgres.record import Record

__all__ = ["doubt", "keep", "same"]


def same(table: Table, known: Table) -> bool:
    """Whether nothing is new of a table that was prepared; equality says nothing of its number."""
    return known == table and table.oid in (None, known.oid)


def doubt(table: Table, record: Record) -> str | None:
    """What is wrong when `table` is not the one that `record` is of, as far as both are known."""
    if None in (table.oid, record.source_oid) or table.oid == record.source_oid:
        return None
    return (
        f"{table} is another table at the source now (oid {table.oid}) than the one whose rows are in"
        f" {record.schema}.{record.name} at the target (oid {record.source_oid}): it was dropped and created again, or"
        " took the name of that one"
    )


def keep(table: Table, record: Record | None, *, pipeline: str) -> int | None:
    """The number by which `table` is to be remembered; `Fatal` when `record` is of another one."""
    if record is None:
        return table.oid
    wrong = doubt(table, record)
    if wrong is None:
        return record.source_oid if table.oid is None else table.oid
    statement = sql.SQL(
        "UPDATE tailrace.target SET source_oid = NULL WHERE pipeline = {} AND table_schema = {} AND table_name = {}"
    ).format(sql.Literal(pipeline), sql.Literal(record.schema), sql.Literal(record.name))
    raise Fatal(
        wrong,
        hint="start again with a snapshot: tailrace reset; or, if its rows are the same, run this at the target and go"
        f" on, then `tailrace verify --repair` for what differs: {statement_text(statement)}",
    )
