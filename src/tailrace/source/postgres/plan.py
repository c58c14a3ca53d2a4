"""What a snapshot reads: each published table with the columns and rows that the stream sends of it, as a COPY.

Never reads a row itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import errors, sql

from tailrace.dialect.postgres.session import Connection, fetch, run
from tailrace.error import Fatal
from tailrace.model import Table
from tailrace.source.postgres import catalog, pattern, query
from tailrace.source.postgres.catalog import Attribute, Described
from tailrace.source.postgres.publication import Published, published

Files = tuple[tuple[int, int | None], ...]
_GENERATED = 180000
_LOCK = "10s"


class Moved(Exception):
    """A table was altered, rewritten, truncated, added or dropped while the slot was made: the attempt is void."""


@dataclass(frozen=True, slots=True)
class TableCopy:
    """One table of a snapshot: its version, and the statement that copies it."""

    table: Table
    statement: sql.Composed


def files(connection: Connection, tables: Sequence[Published]) -> Files:
    """The files behind `tables` now, whatever snapshot the session has."""
    return tuple(fetch(connection, query.load("filenodes"), {"oids": [table.oid for table in tables]}))


def lock(connection: Connection, tables: Sequence[Published | Table]) -> None:
    """Hold off DDL that would change or empty the tables, until the transaction ends; `Moved` when one is gone.

    Other DDL may be in front of us, and wait for another session of ours, which waits for us: no server sees that.
    """
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    statement = sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names)
    doing = "lock the tables of the snapshot for reading"
    with _unmoved():
        run(connection, sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK)), doing)
        run(connection, statement, doing)
        run(connection, sql.SQL("SET LOCAL lock_timeout = 0"), doing)


def make(connection: Connection, tables: Sequence[Published]) -> list[TableCopy]:
    """The copies of `tables`, in order, as the snapshot of this session's transaction shows them.

    `Moved` when columns were dropped or renamed since: the snapshot shows the catalog as it was, COPY goes by what is.
    """
    sent = _sent(connection, tables)
    versions = _described(connection, tables, sent)
    for table, attributes in zip(tables, sent, strict=True):
        _probe(connection, table, attributes)
    copies = zip(versions, tables, sent, strict=True)
    return [TableCopy(version, _statement(table, attributes)) for version, table, attributes in copies]


def tables_of(connection: Connection, publication: str, globs: Sequence[str] | None) -> list[Published]:
    """The published tables that are captured, as the session's snapshot shows them."""
    return [t for t in published(connection, publication) if globs is None or pattern.matches(str(t), globs)]


def described(connection: Connection, tables: Sequence[Published]) -> list[Table]:
    """What the rows of `tables` look like, as the catalog has it now."""
    return _described(connection, tables, _sent(connection, tables))


def _sent(connection: Connection, tables: Sequence[Published]) -> list[list[Attribute]]:
    version = connection.info.server_version
    known = catalog.attributes(connection, [table.oid for table in tables])
    return [[a for a in known[table.oid] if _is_sent(a, table, version)] for table in tables]


def _probe(connection: Connection, table: Published, sent: Sequence[Attribute]) -> None:
    columns_now = sql.SQL(", ").join(sql.Identifier(attribute.name) for attribute in sent)
    with _unmoved():
        probe = sql.SQL("SELECT {} FROM {} LIMIT 0").format(columns_now, sql.Identifier(table.schema, table.name))
        run(connection, probe, f"read the columns of {table}")


def _described(connection: Connection, tables: Sequence[Published], sent: Sequence[Sequence[Attribute]]) -> list[Table]:
    indexes = catalog.keys(connection, [table.oid for table in tables])
    relations = []
    for table, shown in zip(tables, sent, strict=True):
        identity = catalog.identity_columns(table.replica_identity, indexes[table.oid], [a.name for a in shown])
        columns = tuple((a.name, a.type_oid, a.typmod, a.name in identity) for a in shown)
        relations.append(Described(table.oid, table.schema, table.name, table.replica_identity, columns))
    return catalog.tables(connection, relations)


@contextmanager
def _unmoved() -> Iterator[None]:
    try:
        yield
    except Fatal as error:
        if isinstance(error.__cause__, errors.UndefinedTable | errors.UndefinedColumn | errors.InvalidSchemaName):
            raise Moved(error.__cause__.diag.message_primary) from error
        raise


def _is_sent(attribute: Attribute, table: Published, server_version: int) -> bool:
    if table.columns is not None and attribute.name not in table.columns:
        return False
    return not attribute.generated or (server_version >= _GENERATED and attribute.generated == "s")


def _statement(table: Published, sent: Sequence[Attribute]) -> sql.Composed:
    relation = sql.Identifier(table.schema, table.name)
    names = sql.SQL(", ").join(sql.Identifier(attribute.name) for attribute in sent)
    generated = any(attribute.generated for attribute in sent)
    # COPY reads neither partitioned tables nor generated columns by itself, and a table without columns not at all.
    if table.kind == "r" and table.row_filter is None and sent and not generated:
        return sql.SQL("COPY {} ({}) TO STDOUT").format(relation, names)
    source = sql.SQL("{}" if table.kind == "p" else "ONLY {}").format(relation)
    # The filter is the server's own rendering of an expression that it has checked.
    where = sql.SQL(" WHERE {}").format(sql.SQL(table.row_filter)) if table.row_filter else sql.SQL("")
    return sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT").format(names, source, where)
