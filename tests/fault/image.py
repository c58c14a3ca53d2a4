"""Compares tables of any shape: what a target holds against what the source has, cell by cell, as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
from psycopg import sql

Rows = list[tuple[str | None, ...]]
Image = Mapping[str, tuple[Sequence[str], Rows]]
"""Of each table its columns and what it holds."""
UNAVAILABLE = "__debezium_unavailable_value"
"""Stands for a cell that an update left alone and the server did not send."""
TABLES = """SELECT c.relname, array_agg(a.attname ORDER BY a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname = 'public'
    GROUP BY c.oid, c.relname ORDER BY c.relname"""


def image(url: str, only: Sequence[str] | None = None) -> Image:
    """What the tables of a source hold (those of `only`): of each, its columns and its rows."""
    with psycopg.connect(url) as source:
        tables = source.execute(TABLES.encode()).fetchall()
        return {
            table: (columns, _of_postgres(source, table, columns))
            for table, columns in tables
            if only is None or table in only
        }


def same(url: str, target: Path | str, *, only: Sequence[str] | None = None, logs: Sequence[str] = ()) -> None:
    """Fails unless each table of the source (those of `only`) holds the same rows in a file, or in a PostgreSQL one.

    Of tables without a key the target may hold `logs`, whose events have null in columns that were added behind them.
    """
    with closing(_open(target)) as held:
        for table, (columns, expected) in image(url, only).items():
            rows = held.rows(table, columns)
            if table in logs:
                rows, expected = _filled(rows, expected, missing(url, table, columns))
            pairs = zip(rows, expected, strict=False)
            wrong = [(_short(found), _short(row)) for found, row in pairs if found != row]
            equal = rows == expected  # apart, for pytest would print them
            assert equal, f"{table} differs: {len(rows)} rows, expected {len(expected)}; {wrong[:3]}"


def missing(url: str, table: str, columns: Sequence[str]) -> list[str | None]:
    """What each column holds in rows that were there before it was added, as the server has it for them."""
    with psycopg.connect(url) as source:
        query = """SELECT attname, format('SELECT %%L::%%s', (attmissingval::text::text[])[1],
            format_type(atttypid, atttypmod)) FROM pg_attribute WHERE attrelid = %s::regclass AND atthasmissing"""
        found = source.execute(query, [f"public.{table}"]).fetchall()
        cells = {column: source.execute(value.encode()).fetchone() for column, value in found}
    return [None if (cell := cells.get(column)) is None else _text(cell[0]) for column in columns]


def _filled(rows: Rows, expected: Rows, before: Sequence[str | None]) -> tuple[Rows, Rows]:
    """Both in the order of the cells that no column was added for; a null that stands for what was before is filled."""

    def plain(row: Sequence[str | None]) -> str:
        return repr([cell for cell, value in zip(row, before, strict=True) if value is None])

    rows, expected = sorted(rows, key=plain), sorted(expected, key=plain)
    filled = [
        tuple(
            value if cell is None and wanted == value else cell
            for cell, wanted, value in zip(row, wish, before, strict=True)
        )
        for row, wish in zip(rows, expected, strict=False)
    ]
    return filled + rows[len(filled) :], expected


def holds(target: Path | str, state: Image) -> bool:
    """Whether the target has these rows in these tables; no row at all, if there are no tables."""
    if not state and isinstance(target, Path) and not target.exists():
        return True
    with closing(_open(target)) as held:
        if not state:
            return not any(held.rows(table, []) for table in held.tables())
        try:
            return all(held.rows(table, columns) == rows for table, (columns, rows) in state.items())
        except (duckdb.CatalogException, duckdb.BinderException, psycopg.errors.SyntaxErrorOrAccessRuleViolation):
            return False  # a table or a column is not there


class _Target(Protocol):
    def tables(self) -> Iterable[str]: ...
    def rows(self, table: str, columns: Sequence[str]) -> Rows: ...
    def close(self) -> None: ...


def _open(target: Path | str) -> _Target:
    if isinstance(target, str):
        return _Postgres(target)
    return _Duckdb(target) if target.suffix == ".duckdb" else _File(target)


class _Postgres:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)
        self.close = self._connection.close

    def tables(self) -> list[str]:
        return [table for table, _ in self._connection.execute(TABLES.encode())]

    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        return _of_postgres(self._connection, table, columns)


class _Duckdb:
    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path), read_only=True)
        self.close = self._connection.close

    def tables(self) -> list[str]:
        query = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public'"
        return [table for (table,) in self._connection.execute(query).fetchall()]

    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        described = self._connection.execute(f"DESCRIBE public.{_quoted(table)}").fetchall()
        # As instants without a zone, which Python reads without a library of zones.
        instants = {name for name, type_, *_ in described if type_ == "TIMESTAMP WITH TIME ZONE"}
        cells = (f"timezone('UTC', {_quoted(c)})" if c in instants else _quoted(c) for c in columns)
        query = f"SELECT {', '.join(cells) or 'NULL'} FROM public.{_quoted(table)}"
        return _sorted(self._connection.execute(query).fetchall())


class _File:
    """What replaying the events leaves that the file sink has made final, by table and key. Holds one event at a time:
    there are rows of 500 MB."""

    def __init__(self, path: Path) -> None:
        self._tables: dict[str, dict[str, dict[str, Any]]] = {}
        sidecar = path.with_name(path.name + ".position")
        final = json.loads(sidecar.read_bytes())["final"] if sidecar.exists() else 0
        with path.open("rb") as lines:
            while lines.tell() < final:
                record = json.loads(lines.readline())
                if record["value"] is not None:
                    self._replay(record["key"], record["value"])
            assert lines.tell() == final, "what is final does not end with a line"

    def _replay(self, key: Any, value: dict[str, Any]) -> None:
        rows = self._tables.setdefault(value["source"]["table"], {})
        if value["op"] == "t":
            rows.clear()
            return
        name = json.dumps(key or value["before"] or value["after"], sort_keys=True)
        assert value["op"] != "c" or name not in rows, "an insert came twice"
        if value["op"] == "d":
            del rows[name]
        else:
            after = value["after"]
            rows[name] = {**after, **{column: rows[name][column] for column in after if after[column] == UNAVAILABLE}}

    def tables(self) -> Iterable[str]:
        return self._tables

    def rows(self, table: str, columns: Sequence[str]) -> Rows:
        rows = self._tables.get(table, {}).values()
        return _sorted([tuple(row.get(column) for column in columns) for row in rows])

    def close(self) -> None:
        """Nothing is open."""


def _of_postgres(connection: psycopg.Connection[Any], table: str, columns: Sequence[str]) -> Rows:
    query = sql.SQL("SELECT {} FROM public.{}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
    )
    return _sorted(connection.execute(query).fetchall())


def _sorted(rows: Iterable[Sequence[Any]]) -> Rows:
    return sorted((tuple(None if cell is None else _text(cell) for cell in row) for row in rows), key=repr)


def _short(row: Sequence[str | None]) -> list[str | None]:
    """Of a cell as much as a person reads."""
    return [cell and cell[:200] for cell in row]


def _text(cell: Any) -> str:
    """As every product's driver has it."""
    if isinstance(cell, datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(UTC).replace(tzinfo=None)
    return json.dumps(cell) if isinstance(cell, dict) else str(cell)


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
