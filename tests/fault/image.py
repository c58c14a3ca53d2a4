"""Compares tables of any shape: what a target holds against what the source has, cell by cell, as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg import sql

Rows = list[tuple[str | None, ...]]
TABLES = """SELECT c.oid::regclass::text, n.nspname, c.relname, array_agg(a.attname ORDER BY a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname = 'public'
    GROUP BY c.oid, n.nspname, c.relname ORDER BY c.relname"""


def same(url: str, target: Path | str, *, only: Sequence[str] | None = None) -> None:
    """Fails unless each table of the source (those of `only`) holds the same rows in a file, or in a PostgreSQL one."""
    events = _events(target) if isinstance(target, Path) and target.suffix != ".duckdb" else {}
    with psycopg.connect(url) as source:
        for shown, _, table, columns in source.execute(TABLES.encode()).fetchall():
            if only is None or table in only:
                expected = _of_postgres(source, table, columns)
                if isinstance(target, str):
                    with psycopg.connect(target) as replica:
                        held = _of_postgres(replica, table, columns)
                elif target.suffix == ".duckdb":
                    held = _of_duckdb(target, table, columns)
                else:
                    held = _of_events(events.get(table, ()), columns)
                assert held == expected, f"{shown} differs: {len(held)} rows, expected {len(expected)}"


def _of_postgres(connection: psycopg.Connection[Any], table: str, columns: Sequence[str]) -> Rows:
    query = sql.SQL("SELECT {} FROM public.{}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
    )
    return _sorted(connection.execute(query).fetchall())


def _of_duckdb(path: Path, table: str, columns: Sequence[str]) -> Rows:
    names = ", ".join(_quoted(column) for column in columns)
    with duckdb.connect(str(path), read_only=True) as connection:
        return _sorted(connection.execute(f"SELECT {names} FROM public.{_quoted(table)}").fetchall())


def _events(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of each table, up to what the file sink has made final."""
    records: dict[str, list[dict[str, Any]]] = {}
    final = json.loads(path.with_name(path.name + ".position").read_bytes())["final"]
    for line in path.read_bytes()[:final].splitlines():
        record = json.loads(line)
        if record["value"] is not None:
            records.setdefault(record["value"]["source"]["table"], []).append(record)
    return records


def _of_events(records: Iterable[dict[str, Any]], columns: Sequence[str]) -> Rows:
    """What replaying the events leaves, by key."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        value = record["value"]
        if value["op"] == "t":
            rows.clear()
            continue
        key = json.dumps(record["key"] or value["before"] or value["after"], sort_keys=True)
        assert value["op"] != "c" or key not in rows, "an insert came twice"
        if value["op"] == "d":
            del rows[key]
        else:
            rows[key] = value["after"]
    return _sorted([tuple(row.get(column) for column in columns) for row in rows.values()])


def _sorted(rows: Iterable[Sequence[Any]]) -> Rows:
    return sorted((tuple(None if cell is None else str(cell) for cell in row) for row in rows), key=repr)


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
