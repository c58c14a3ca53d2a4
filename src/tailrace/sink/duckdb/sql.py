"""DuckDB's SQL: the one function that quotes names, and the statements that move rows. Never runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

__all__ = [
    "INCOMING",
    "LOG",
    "MOVED",
    "STAGE",
    "add_column",
    "create_table",
    "delete",
    "fill",
    "fill_up",
    "insert",
    "keep",
    "literal",
    "printed",
    "qualified",
    "quote",
    "rename_column",
    "rename_table",
    "select_into",
    "set_all",
    "stage",
    "unmatched",
    "widen_column",
]

INCOMING: Final = "_tailrace_incoming"
"""The Arrow stream of one segment, registered."""
STAGE: Final = "_tailrace_stage"
"""A temporary table: the rows of one segment, one a key."""
MOVED: Final = "_tailrace_moved"
"""A temporary table: the key that a row had before an update of its key."""
LOG: Final = (("_op", "VARCHAR"), ("_position", "VARCHAR"), ("_committed_at", "TIMESTAMP WITH TIME ZONE"))
"""What a table without a key has beside the source's columns."""

Typed = Sequence[tuple[str, str]]
"""Column names with DuckDB types."""


def quote(name: str) -> str:
    """An identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def qualified(*names: str) -> str:
    """A name with those of what it lies in: the catalog too, since a schema may be called like the file."""
    return ".".join(quote(name) for name in names)


def create_table(target: str, columns: Typed) -> str:
    """Every column may be null: a target outlives the constraints of its source."""
    return f"CREATE TABLE {target} ({', '.join(f'{quote(name)} {type}' for name, type in columns)})"


def add_column(target: str, name: str, type: str) -> str:
    """Add a column to `target`; rows that are there get null."""
    return f"ALTER TABLE {target} ADD COLUMN {quote(name)} {type}"


def set_all(target: str, name: str, value: str) -> str:
    """Give every row of `target` this value. A default would do the same, and be looked up when the log is read again
    after a kill: where the cast of its type comes with an extension (json), that is not loaded then."""
    return f"UPDATE {target} SET {quote(name)} = {value}"


def printed(name: str, type: str) -> str:
    """Print the value of the one row that is incoming, and whether what is printed is read back as the same."""
    value = f"SELECT {quote(name)}::{type} AS value FROM {INCOMING}"
    return f"SELECT value::VARCHAR, value::VARCHAR::{type} IS NOT DISTINCT FROM value FROM ({value})"


def widen_column(target: str, name: str, type: str) -> str:
    """Give a column of `target` a type that holds all its values."""
    return f"ALTER TABLE {target} ALTER COLUMN {quote(name)} TYPE {type}"


def fill_up(target: str, name: str, length: int) -> str:
    """Give the texts of a column blanks at the end up to `length`, none with 0, as a cast to char(n) or text does."""
    text = f"rtrim({quote(name)}, ' ')"
    filled = f"rpad({text}, greatest(length({text}), {length})::INTEGER, ' ')" if length else text
    return f"UPDATE {target} SET {quote(name)} = {filled} WHERE {quote(name)} <> {filled}"


def rename_column(target: str, name: str, to: str) -> str:
    """Give a column of `target` another name."""
    return f"ALTER TABLE {target} RENAME COLUMN {quote(name)} TO {quote(to)}"


def rename_table(target: str, to: str) -> str:
    """Give `target` another name."""
    return f"ALTER TABLE {target} RENAME TO {quote(to)}"


def insert(target: str, columns: Typed, source: str, *, where: str = "") -> str:
    """Copy `columns` of `source` into `target`, cast to their types."""
    cast = ", ".join(f"{quote(name)}::{type}" for name, type in columns)
    return f"INSERT INTO {target} ({_names(columns)}) SELECT {cast} FROM {source}{where and ' WHERE ' + where}"


def select_into(temporary: str, columns: Typed) -> str:
    """Materialize `columns` of what is incoming as a temporary table."""
    cells = ", ".join(f"{quote(name)}::{type} AS {quote(name)}" for name, type in columns)
    return f"CREATE OR REPLACE TEMP TABLE {temporary} AS SELECT {cells} FROM {INCOMING}"


def stage(columns: Typed, extra: Typed) -> str:
    """Materialize what is incoming, since a stream can be read once; `extra` columns wait to be filled."""
    cells = [f"{quote(name)}::{type} AS {quote(name)}" for name, type in columns]
    cells += [f"NULL::{type} AS {quote(name)}" for name, type in extra]
    return f"CREATE OR REPLACE TEMP TABLE {STAGE} AS SELECT {', '.join(cells)}, _op, _unchanged, _index FROM {INCOMING}"


def fill(target: str, key: Sequence[str], *, moved: bool, unchanged: Iterable[str], extra: Typed) -> str:
    """Take cells that were not sent, and the `extra` columns, from the target's row of the same key (of the key in
    `MOVED`, when the update `moved` its row).

    A row that was found loses its `_unchanged`: what keeps it has no row to take cells from.
    """
    cells = [
        f"{quote(name)} = CASE WHEN list_contains(s._unchanged, {literal(name)}) "
        f"THEN o.{quote(name)} ELSE s.{quote(name)} END"
        for name in unchanged
    ]
    cells += [f"{quote(name)} = o.{quote(name)}" for name, _ in extra]
    tables, match = (f"{target} AS o, {MOVED} AS m", "m") if moved else (f"{target} AS o", "s")
    return (
        f"UPDATE {STAGE} AS s SET {', '.join([*cells, '_unchanged = NULL'])} FROM {tables} "
        f"WHERE {_match('o', match, key)}"
    )


def keep(target: str, stage: str, *, key: Sequence[str], extra: Typed) -> tuple[str, ...]:
    """Give a snapshot that waits in `stage` the `extra` columns, as the target's rows of the same keys have them."""
    adds = [add_column(stage, name, type) for name, type in extra]
    cells = ", ".join(f"{quote(name)} = o.{quote(name)}" for name, _ in extra)
    return (*adds, f"UPDATE {stage} AS s SET {cells} FROM {target} AS o WHERE {_match('o', 's', key)}")


def delete(target: str, source: str, key: Sequence[str]) -> str:
    """Remove the target's rows whose key is in `source`."""
    return f"DELETE FROM {target} AS o USING {source} AS s WHERE {_match('o', 's', key)}"


def unmatched(target: str, source: str, key: Sequence[str]) -> str:
    """Count the rows of `source` whose key is not in the target; what follows may choose among them (as `s`)."""
    there = f"SELECT 1 FROM {target} AS o WHERE {_match('o', 's', key)}"
    return f"SELECT count(*) FROM {source} AS s WHERE NOT EXISTS ({there})"


def _match(left: str, right: str, key: Sequence[str]) -> str:
    return " AND ".join(f"{left}.{quote(name)} = {right}.{quote(name)}" for name in key)


def _names(columns: Typed) -> str:
    return ", ".join(quote(name) for name, _ in columns)


def literal(text: str) -> str:
    """A string constant."""
    return "'" + text.replace("'", "''") + "'"
