"""What older rows have in a column that is added: the source filled it up with a default, of which no event tells.

Never changes a table.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tailrace._native import ArrowStream, BatchBuilder
from tailrace.error import Reject
from tailrace.model import Column, Table
from tailrace.sink.duckdb import sql
from tailrace.sink.duckdb.ledger import Record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["of_older_rows"]

log = logging.getLogger("tailrace.sink.duckdb")


def of_older_rows(
    connection: DuckDBPyConnection, table: Table, record: Record, *, name: str, type: str, new: bool
) -> str | None:
    """What the rows of `record` get in the column `name`, which it does not have yet, as an expression of this `type`;
    None for null, also where it may not be `new` at the source. That is told where the source has something else, or
    may have."""
    column = next(column for column in table.columns if column.name == name)
    if new and column.backfill is None and column.nullable and not column.defaulted:
        return None
    value = _literal(connection, column, type) if new and not record.shared else None
    if value is None and connection.execute(f"SELECT 1 FROM {record.target} LIMIT 1").fetchall():
        log.warning(
            "the column %s is added to %s: rows from before have null in it, %s; `tailrace verify --repair` brings it",
            name,
            record.target,
            _why(record, new),
        )
    return value


def _why(record: Record, new: bool) -> str:
    if record.shared:
        return "since others have rows there"
    return "since it is not known what value they have there" + (
        "" if new else " (it may be an older one that was renamed, or left out)"
    )


def _literal(connection: DuckDBPyConnection, column: Column, type: str) -> str | None:
    """The value as DuckDB reads and prints it; None when it cannot hold it. Asked on the side: a statement that fails
    ends its transaction."""
    import duckdb

    if column.backfill is None:
        return None
    try:
        row = _one_row(column)
        with connection.cursor() as aside:
            aside.register(sql.INCOMING, row)
            [[text, reads_back]] = aside.execute(sql.printed(column.name, type)).fetchall()
    except (Reject, duckdb.Error):
        return None
    return f"{sql.literal(text)}::{type}" if reads_back else None


def _one_row(column: Column) -> ArrowStream:
    """One row that holds the value; `Reject` when Arrow cannot hold it."""
    alone = Column(column.name, column.type, native=column.native, labels=column.labels)
    table = Table("", "", [alone])
    builder = BatchBuilder("")
    builder.begin(xid=0, lsn=0, committed_at_us=0)
    builder.add("c", table, after={column.name: column.backfill})
    builder.commit()
    return builder.take().arrow(table)
