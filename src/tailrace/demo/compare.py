"""Compares the shop in PostgreSQL with its two copies, row for row. Never changes either.

Both sides of a table are reduced to a count and a checksum: the sum of a 64-bit hash of each row, so that neither order
nor memory matters, and a row that is missing, extra, doubled or different in one cell shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from tailrace.demo.projection import Projection

_MOMENT = "timestamp with time zone"

TABLES = ("customers", "products", "orders", "lines", "mark")


@dataclass(frozen=True, slots=True)
class Sum:
    """A table's number of rows and checksum."""

    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Compared:
    """One table at the source and in a target."""

    target: str
    table: str
    source: Sum
    copy: Sum

    @property
    def identical(self) -> bool:
        """Row for row the same."""
        return self.source == self.copy


def compare(url: str, folder: Path) -> list[Compared]:
    """Every table of the shop against DuckDB and against the handler's SQLite file in `folder`."""
    import duckdb

    compared = []
    projection = Projection(folder / "handler.sqlite")
    with psycopg.connect(url) as source, duckdb.connect(str(folder / "copy.duckdb"), read_only=True) as copy:
        source.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            columns = _columns(source, table)
            typed = _sum(
                source.execute(_select(table, columns, {_MOMENT: "(extract(epoch from {}) * 1000000)::bigint"}))
            )
            rows = copy.execute(_select(table, columns, {_MOMENT: "epoch_us({})"}).as_string()).fetchall()
            compared.append(Compared("duckdb", table, typed, _sum(rows)))
            text = _sum(source.execute(_select(table, columns, dict.fromkeys(columns.values(), "{}::text"))))
            compared.append(Compared("handler", table, text, _sum(projection.rows(f"shop.{table}"))))
    projection.close()
    return compared


def _columns(source: psycopg.Connection, table: str) -> dict[str, str]:
    """Name to type, in order."""
    query = """SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
               WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    return dict(source.execute(query, [f"shop.{table}"]).fetchall())


def _select(table: str, columns: Mapping[str, str], shown: Mapping[str, LiteralString]) -> sql.Composed:
    """All rows, with columns of the types in `shown` put into that expression."""
    cells = [sql.SQL(shown.get(kind, "{}")).format(sql.Identifier(name)) for name, kind in columns.items()]
    return sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(cells), sql.Identifier("shop", table))


def _sum(rows: Iterable[Sequence[object]]) -> Sum:
    count = checksum = 0
    for row in rows:
        cells = "\x1f".join("\x00" if cell is None else str(cell) for cell in row)
        checksum += int.from_bytes(hashlib.blake2b(cells.encode(), digest_size=8).digest())
        count += 1
    return Sum(count, checksum % (1 << 64))
