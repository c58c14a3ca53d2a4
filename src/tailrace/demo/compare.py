"""Compares the shop in PostgreSQL with its copies, row for row. Never changes either.

Both sides of a table are reduced to a count and a checksum: the sum of a 64-bit hash of each row, so that neither order
nor memory matters, and a row that is missing, extra, doubled or different in one cell shows.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import LiteralString, Self

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


Copy = Callable[[str, Mapping[str, str]], Iterable[Sequence[object]]]
"""Reads a table of a copy, given its name and its columns' types at the source."""


class Shop:
    """The shop in PostgreSQL, to compare with its copies; enter it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Self:
        self._source = psycopg.connect(self._url)
        self._source.execute("SET TimeZone = 'UTC'")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()

    def compare(self, target: str, copy: Copy, *, typed: bool) -> list[Compared]:
        """Every table against `copy`, cell for cell as values, or as the server's text when it is not `typed`."""
        compared = []
        for table in TABLES:
            columns = self._columns(table)
            shown: Mapping[str, LiteralString] = dict.fromkeys(columns.values(), "{}::text")
            if typed:
                shown = {_MOMENT: "(extract(epoch from {}) * 1000000)::bigint"}
            here = _sum(self._source.execute(_select(table, columns, shown)))
            compared.append(Compared(target, table, here, _sum(copy(table, columns))))
        return compared

    def _columns(self, table: str) -> dict[str, str]:
        """Name to type, in order."""
        query = """SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
                   WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
        return dict(self._source.execute(query, [f"shop.{table}"]).fetchall())


def duckdb_rows(paths: Sequence[Path]) -> Copy:
    """The rows of a table in all these files together; a file may be without it."""
    import duckdb

    def rows(table: str, columns: Mapping[str, str]) -> Iterator[Sequence[object]]:
        query = _select(table, columns, {_MOMENT: "epoch_us({})"}).as_string()
        for path in paths:
            with duckdb.connect(str(path), read_only=True) as copy, contextlib.suppress(duckdb.CatalogException):
                yield from copy.execute(query).fetchall()

    return rows


def handler_rows(path: Path) -> Copy:
    """The rows of a table in the handler's SQLite file."""

    def rows(table: str, columns: Mapping[str, str]) -> Iterable[Sequence[object]]:
        projection = Projection(path)
        try:
            return projection.rows(f"shop.{table}")
        finally:
            projection.close()

    return rows


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
