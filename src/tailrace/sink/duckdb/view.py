"""Reads what a DuckDB file holds, in ranges of the key or by key, to be compared. Never writes to the file.

A row's digest is DuckDB's own hash of its cells, hashed again. Cells whose equal values can be spelled in two
ways (a zero's sign, an interval's days) are hashed as text. `DuckDBImage` casts rows as the writer does and digests
them in the same way, so that both sides are compared in the target's own types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tailrace.comparison import Checksum, Key, Mirror, Seen, Shape, Span, TargetLook
from tailrace.error import Reject
from tailrace.model import Batch, Change
from tailrace.sink.duckdb import sql
from tailrace.sink.duckdb.connection import connect_beside, explained
from tailrace.sink.duckdb.constraint import Broken
from tailrace.sink.duckdb.ledger import Ledger

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DuckDBImage", "DuckDBView"]

_AS_TEXT = ("FLOAT", "DOUBLE", "INTERVAL", "TIME WITH TIME ZONE")
_DATED = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
_UNORDERED = ("INTERVAL", "TIME WITH TIME ZONE", "JSON")
_LIMITS = "SET threads = 1; SET preserve_insertion_order = false"


class DuckDBView:
    """See `TargetView`."""

    def __init__(self, path: Path, pipeline: str, schemas: Mapping[str, str]) -> None:
        self._path = path
        self._schemas = schemas
        self._connection = connect_beside(path)
        self._ledger = Ledger(self._connection, pipeline)

    def mirror(self, shape: Shape) -> Mirror | str:
        """See `TargetView.mirror`."""
        schema = self._schemas.get(shape.schema, shape.schema)
        with explained(self._path):
            records = {(record.schema.lower(), record.name.lower()): record for record in self._ledger.records()}
            record = records.get((schema.lower(), shape.name.lower()))
            held = {
                name.lower(): type
                for name, type in self._connection.execute(
                    "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database() "
                    "AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)",
                    [schema, shape.name],
                ).fetchall()
            }
        if record is None or not held:
            return f"the target has no table {schema}.{shape.name} of this pipeline"
        if not record.key:
            return "it has no key: the target is a log of its changes, not a copy of its rows"
        if record.staged:
            return "its snapshot is not complete"
        if record.shared:
            return "the target table holds rows of others, which nothing tells from its own"
        missing = [field.name for field in shape.fields if field.name.lower() not in held]
        if missing:
            return f"the target has no column {', '.join(missing)}"
        types = tuple(held[field.name.lower()] for field in shape.fields)
        named = {field.name: type for field, type in zip(shape.fields, types, strict=True)}
        odd = [name for name in shape.key if named[name] in _UNORDERED or named[name].endswith("[]")]
        if odd:
            return f"its key {', '.join(odd)} is of a type whose order DuckDB does not share"
        binary = tuple(name for name in shape.key if named[name] == "VARCHAR")
        return Mirror(shape, schema, shape.name, types, binary)

    def checksum(self, mirror: Mirror, span: Span) -> Checksum:
        """See `TargetView.checksum`."""
        return _checksum(self._connection, mirror, self._table(mirror), where=_within(mirror, span), path=self._path)

    def digests(self, mirror: Mirror, span: Span) -> Sequence[tuple[Key, str]]:
        """See `TargetView.digests`; two rows of one key have one digest that no single row has."""
        return _digests(self._connection, mirror, self._table(mirror), where=_within(mirror, span), path=self._path)

    def look(self, mirror: Mirror, keys: Sequence[Key]) -> TargetLook:
        """See `TargetView.look`."""
        types = _types(mirror)
        columns = [f"k{number}" for number in range(len(mirror.shape.key))]
        asked = ", ".join(
            f"{_parsed(f'a.{column}', types[name])} AS {column}"
            for column, name in zip(columns, mirror.shape.key, strict=True)
        )
        match = " AND ".join(
            f"o.{sql.quote(name)} = k.{column}" for column, name in zip(columns, mirror.shape.key, strict=True)
        )
        document = msgspec.json.encode([dict(zip(columns, key, strict=True), place=n) for n, key in enumerate(keys)])
        statement = (
            f"WITH a AS (SELECT unnest(from_json(?::JSON, '{_structure(columns)}'), recursive := true)), "
            f"k AS (SELECT {asked}, a.place FROM a) "
            f"SELECT k.place, string_agg(o.rowid::VARCHAR, ',' ORDER BY o.rowid), {_one(mirror, 'o')} "
            f"FROM k JOIN {self._table(mirror)} AS o ON {match} GROUP BY k.place"
        )
        with explained(self._path):
            self._connection.begin()
            try:
                found = self._connection.execute(statement, [document.decode()]).fetchall() if keys else []
                saved = self._ledger.positions()
            finally:
                self._connection.rollback()
        seen: list[Seen | None] = [None] * len(keys)
        for place, version, digest in found:
            seen[place] = Seen(version, digest)
        return TargetLook(tuple(seen), {lineage: at.text for lineage, at in saved.items() if at is not None})

    def close(self) -> None:
        """See `TargetView.close`."""
        self._connection.close()

    def _table(self, mirror: Mirror) -> str:
        return sql.qualified(self._ledger.catalog, mirror.schema, mirror.name)


class DuckDBImage:
    """See `Image`: a database in memory that holds the rows at hand, spilling beside itself beyond `memory_limit`."""

    def __init__(self, memory_limit: str) -> None:
        self._path = Path(":memory:")
        self._connection = connect_beside(self._path)
        with explained(self._path):
            self._connection.execute(f"SET memory_limit = {sql.literal(memory_limit)}; {_LIMITS}")

    def checksum(self, mirror: Mirror, rows: Iterator[Batch]) -> Checksum:
        """See `Image.checksum`."""
        refused = self._hold(mirror, rows)
        held = _checksum(self._connection, mirror, sql.STAGE, where="true", path=self._path)
        return Checksum(held.rows + len(refused), held.digest)

    def digests(self, mirror: Mirror, rows: Iterator[Batch]) -> Sequence[tuple[Key, str]]:
        """See `Image.digests`."""
        refused = self._hold(mirror, rows)
        held = _digests(self._connection, mirror, sql.STAGE, where="true", path=self._path)
        return [*held, *((key, "cannot be held") for key in refused)]

    def close(self) -> None:
        """See `Image.close`."""
        self._connection.close()

    def _hold(self, mirror: Mirror, rows: Iterator[Batch]) -> list[Key]:
        """Take the rows in; returns the keys of those that the target's types cannot hold."""
        typed = [(field.name, type) for field, type in zip(mirror.shape.fields, mirror.types, strict=True)]
        columns = ", ".join(f"{sql.quote(name)} {type}" for name, type in typed)
        with explained(self._path):
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {sql.STAGE} ({columns})")
        return [key for batch in rows for key in self._insert(batch, typed)]

    def _insert(self, batch: Batch, typed: sql.Typed) -> list[Key]:
        for table in batch.tables:
            try:
                stream = batch.arrow(table)
                with explained(self._path):
                    self._connection.register(sql.INCOMING, stream)
                    try:
                        self._connection.execute(sql.insert(sql.STAGE, typed, sql.INCOMING))
                    finally:
                        self._connection.unregister(sql.INCOMING)
            except Reject as reject:
                refused = [_key(batch[index]) for index in reject.reasons]
                return refused + self._insert(batch.without(list(reject.reasons)), typed)
            except Broken:
                return self._insert_halves(batch, typed)
        return []

    def _insert_halves(self, batch: Batch, typed: sql.Typed) -> list[Key]:
        """A row that DuckDB does not read is among them: it says of a set that there is one, not which."""
        if len(batch) == 1:
            return [_key(batch[0])]
        half = len(batch) // 2
        halves = batch.only(range(half)), batch.only(range(half, len(batch)))
        return [key for part in halves for key in self._insert(part, typed)]


def _key(change: Change) -> Key:
    texts = change.key.texts() if change.key is not None else {}
    return tuple(str(texts[name]) for name in change.table.key)


def _checksum(connection: DuckDBPyConnection, mirror: Mirror, table: str, *, where: str, path: Path) -> Checksum:
    statement = (
        f"SELECT count(*), coalesce(bit_xor({_digest(mirror, 'o')}), 0)::VARCHAR FROM {table} AS o WHERE {where}"
    )
    with explained(path):
        [[rows, digest]] = connection.execute(statement).fetchall()
    return Checksum(rows, digest)


def _digests(
    connection: DuckDBPyConnection, mirror: Mirror, table: str, *, where: str, path: Path
) -> list[tuple[Key, str]]:
    types = _types(mirror)
    key = [_spelled(f"o.{sql.quote(name)}", types[name]) for name in mirror.shape.key]
    names = ", ".join(f"{expression} AS k{number}" for number, expression in enumerate(key))
    statement = f"SELECT {names}, {_one(mirror, 'o')} FROM {table} AS o WHERE {where} GROUP BY ALL"
    with explained(path):
        return [(tuple(found), digest) for *found, digest in connection.execute(statement).fetchall()]


def _one(mirror: Mirror, alias: str) -> str:
    """An aggregate over the rows of one key: the digest of the row, or one of its own if there are several."""
    digest = _digest(mirror, alias)
    return f"CASE count(*) WHEN 1 THEN any_value({digest})::VARCHAR ELSE count(*) || ' rows' END"


def _digest(mirror: Mirror, alias: str) -> str:
    cells = (
        f"{alias}.{sql.quote(field.name)}{'::VARCHAR' if type in _AS_TEXT or type.endswith(']') else ''}"
        for field, type in zip(mirror.shape.fields, mirror.types, strict=True)
    )
    # The last cell's hash is only XORed in: without another round equal changes of two rows cancel each other out.
    return f"hash(hash({', '.join(cells)}))"


def _within(mirror: Mirror, span: Span) -> str:
    types = _types(mirror)
    cells = [f"o.{sql.quote(name)}" for name in mirror.shape.key]
    parts = ["true"]
    for bound, than in ((span.after, ">"), (span.upto, "<=")):
        if bound is not None:
            values = [
                _parsed(sql.literal(text), types[name]) for text, name in zip(bound, mirror.shape.key, strict=True)
            ]
            within = _ordered(cells, values, than)
            # Rows without a key, which no source has, are found in the last range.
            last = span.upto is None and than == ">"
            parts.append(f"({' OR '.join([within, *(f'{cell} IS NULL' for cell in cells)])})" if last else within)
    return " AND ".join(parts)


def _ordered(cells: Sequence[str], values: Sequence[str], than: str) -> str:
    """That a row's key lies before or behind another. DuckDB refuses tuples that have a bound on either side."""
    *leading, (cell, value) = zip(cells, values, strict=True)
    found = f"{cell} {than} {value}"
    for cell, value in reversed(leading):
        found = f"({cell} {than[0]} {value} OR ({cell} = {value} AND {found}))"
    if leading:  # said once more so that what lies elsewhere need not be read
        found = f"({cells[0]} {than[0]}= {values[0]} AND {found})"
    return found


def _types(mirror: Mirror) -> dict[str, str]:
    return {field.name: type for field, type in zip(mirror.shape.fields, mirror.types, strict=True)}


def _parsed(text: str, type: str) -> str:
    """A key's value from its text; PostgreSQL's spelling and `_spelled` are both understood."""
    if type == "BLOB":
        return f"unhex(substr({text}, 3))"
    if type in _DATED:  # years before Christ: DuckDB reads over what PostgreSQL has behind them
        return f"regexp_replace({text}, '^([^ ]+)(.*) BC$', '\\1 (BC)\\2')::{type}"
    return f"{text}::{type}"


def _spelled(value: str, type: str) -> str:
    """A key's text, which PostgreSQL reads back as the same value whatever the session's time zone."""
    if type == "BLOB":
        return f"'\\x' || lower(hex({value}))"
    if type == "TIMESTAMP WITH TIME ZONE":
        finite = f"make_timestamp(epoch_us({value}))::VARCHAR || '+00'"
        return f"CASE WHEN isinf({value}) THEN {value}::VARCHAR ELSE {finite} END"
    return f"{value}::VARCHAR"


def _structure(columns: Sequence[str]) -> str:
    fields = ", ".join(f'"{column}": "VARCHAR"' for column in columns)
    return f'[{{{fields}, "place": "BIGINT"}}]'
