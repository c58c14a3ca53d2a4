"""Reads what the target's tables hold, in ranges of the key or by key, to be compared. Never writes.

A look is one snapshot of rows and position together: they moved in the same transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from tailrace.comparison import Checksum, Key, Mirror, Seen, Shape, Span, TargetLook
from tailrace.dialect.postgres.digest import PROBE, digest, spelled
from tailrace.dialect.postgres.equality import EQUAL, equal, operators
from tailrace.dialect.postgres.look import VERSION, fetch_composed, snapshot
from tailrace.dialect.postgres.session import Login, connect, fetch
from tailrace.sink.postgres.ledger import saved
from tailrace.sink.postgres.record import Record, read
from tailrace.sink.postgres.target import Placing

__all__ = ["PostgresView"]

_COLUMNS = """
SELECT c.oid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.format_type(a.atttypid, -1),
    a.attnotnull
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped
"""


class PostgresView:
    """See `TargetView`."""

    def __init__(self, login: Login, pipeline: str, placing: Placing) -> None:
        self._session = connect(login)
        self._pipeline = pipeline
        self._placing = placing
        self._inputs: dict[tuple[str, str], dict[str, str]] = {}
        self._operators: dict[tuple[str, str], Mapping[str, str]] = {}
        self._optional: dict[tuple[str, str], frozenset[str]] = {}

    def mirror(self, shape: Shape) -> Mirror | str:
        """See `TargetView.mirror`."""
        schema, name = self._placing.schema.get(shape.schema, shape.schema), shape.name
        rows = fetch(self._session, _COLUMNS, {"schema": schema, "name": name})
        record = self._records().get((schema, name))
        if record is None or not rows:
            return f"the target has no table {schema}.{name} of this pipeline"
        if not record.complete:
            return "its snapshot is not complete"
        if record.shared:
            return "the target table holds rows of others, which nothing tells from its own"
        held = {column: type for _, column, type, _, _ in rows}
        if missing := [field.name for field in shape.fields if field.name not in held]:
            return f"the target has no column {', '.join(missing)}"
        self._inputs[schema, name] = {column: type for _, column, _, type, _ in rows}
        self._optional[schema, name] = frozenset(column for _, column, _, _, required in rows if not required)
        self._operators[schema, name] = foreign = operators(self._session, rows[0][0])
        types = tuple(held[field.name] for field in shape.fields)
        [[probe]] = fetch(self._session, PROBE)
        # A type with a schema is none of the server's own: its order, or that of the text in its place, is its own.
        binary = tuple(
            field.name
            for field in shape.of_key
            if field.name in foreign or ("." in field.native and field.native != held[field.name])
        )
        return Mirror(shape, schema, name, types, binary, dict(self._placing.constants), probe)

    def checksum(self, mirror: Mirror, span: Span) -> Checksum:
        """See `TargetView.checksum`."""
        total = sql.SQL("bit_xor({})" if mirror.shape.key else "sum({}::numeric)").format(_digest(mirror))
        statement = sql.SQL("SELECT count(*), coalesce(({})::text, '0') FROM {} AS t WHERE {}").format(
            total, _table(mirror), self._within(mirror, span)
        )
        [[rows, found]] = self._fetch(statement, mirror)
        return Checksum(rows, found)

    def digests(self, mirror: Mirror, span: Span) -> Sequence[tuple[Key, str]]:
        """See `TargetView.digests`."""
        statement = sql.SQL("SELECT {}, ({})::text FROM {} AS t WHERE {}").format(
            _list(spelled(_column(field.name), field.type) for field in mirror.shape.of_key),
            _digest(mirror),
            _table(mirror),
            self._within(mirror, span),
        )
        return [(tuple(key), found) for *key, found in self._fetch(statement, mirror)]

    def look(self, mirror: Mirror, keys: Sequence[Key]) -> TargetLook:
        """See `TargetView.look`."""
        with snapshot(self._session, "look at the target's rows"):
            seen = self._find(mirror, keys) if keys else ()
            positions = saved(self._session, self._pipeline)
        return TargetLook(seen, {lineage: at.text for lineage, at in positions.items() if at is not None})

    def close(self) -> None:
        """See `TargetView.close`."""
        self._session.close()

    def _records(self) -> dict[tuple[str, str], Record]:
        """What the pipeline remembers of its tables; read without making the table where that stands."""
        if fetch(self._session, "SELECT pg_catalog.to_regclass('tailrace.target')::pg_catalog.text") == [(None,)]:
            return {}
        return read(self._session, self._pipeline)

    def _find(self, mirror: Mirror, keys: Sequence[Key]) -> tuple[Seen | None, ...]:
        """Look the keys up one by one in their index. Nothing may keep a target from having two rows of one key."""
        places = [sql.Identifier(f"k{number}") for number in range(len(mirror.shape.key))]
        types = self._inputs[mirror.schema, mirror.name]
        match = sql.SQL(" AND ").join(
            self._equal(mirror, name, sql.SQL("u.{}::{}").format(place, sql.SQL(types[name])))
            for name, place in zip(mirror.shape.key, places, strict=True)
        )
        statement = sql.SQL(
            "SELECT t.version, t.digest, t.rows FROM unnest({}) WITH ORDINALITY AS u ({}, place)"
            " CROSS JOIN LATERAL (SELECT string_agg({}, ',') AS version, min({})::text AS digest, count(*) AS rows"
            " FROM {} AS t WHERE {} AND {}) AS t ORDER BY u.place"
        ).format(
            _list(sql.SQL("{}::text[]").format(sql.Literal(list(column))) for column in zip(*keys, strict=True)),
            _list(places),
            VERSION,
            _digest(mirror),
            _table(mirror),
            match,
            self._within(mirror, Span()),
        )
        return tuple(
            Seen(version, found if rows == 1 else f"{rows} rows") if rows else None
            for version, found, rows in self._fetch(statement, mirror)
        )

    def _equal(self, mirror: Mirror, name: str, value: sql.Composable) -> sql.Composed:
        return equal(_column(name), value, self._operators[mirror.schema, mirror.name].get(name, EQUAL))

    def _within(self, mirror: Mirror, span: Span) -> sql.Composed:
        """This pipeline's rows within the bounds, literals without a type: the columns give them theirs."""
        parts: list[sql.Composable] = [sql.SQL("true")]
        parts += [self._equal(mirror, name, sql.Literal(value)) for name, value in mirror.scope.items()]
        cells = _list(
            sql.SQL('{} COLLATE "C"').format(spelled(_column(field.name), field.type))
            if field.name in mirror.binary
            else _column(field.name)
            for field in mirror.shape.of_key
        )
        if span.after is not None:
            behind = _bounded(cells, ">", span.after)
            # Rows without a key, which no source has, are found in the last range.
            parts.append(behind if span.upto is not None else _or_null(behind, self._optional_key(mirror)))
        if span.upto is not None:
            parts.append(_bounded(cells, "<=", span.upto))
        return sql.SQL(" AND ").join(parts)

    def _optional_key(self, mirror: Mirror) -> list[str]:
        """The columns of the key that the target lets be null: a unique index may stand in for its primary key."""
        optional = self._optional[mirror.schema, mirror.name]
        return [name for name in mirror.shape.key if name in optional]

    def _fetch(self, statement: sql.Composed, mirror: Mirror) -> list[tuple[Any, ...]]:
        doing = f"compare {mirror.schema}.{mirror.name} of the target"
        return fetch_composed(self._session, statement, doing)


def _digest(mirror: Mirror) -> sql.Composed:
    return digest(
        (_column(field.name), field.type, field.native, type)
        for field, type in zip(mirror.shape.fields, mirror.types, strict=True)
    )


def _bounded(cells: sql.Composed, than: str, bound: Key) -> sql.Composed:
    return sql.SQL("({}) {} ({})").format(cells, sql.SQL(than), _list(map(sql.Literal, bound)))


def _or_null(within: sql.Composed, names: Sequence[str]) -> sql.Composed:
    # A composite value whose attributes are all null IS NULL.
    nulls = (sql.SQL("{} IS NOT DISTINCT FROM NULL").format(_column(name)) for name in names)
    return sql.SQL("({})").format(sql.SQL(" OR ").join([within, *nulls]))


def _table(mirror: Mirror) -> sql.Composed:
    return sql.SQL("{}").format(sql.Identifier(mirror.schema, mirror.name))


def _column(name: str) -> sql.Composed:
    return sql.SQL("t.{}").format(sql.Identifier(name))


def _list(parts: Iterator[sql.Composable] | Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
