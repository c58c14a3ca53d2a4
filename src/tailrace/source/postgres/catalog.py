"""Makes a `Table` from what the wire says of a relation and what the catalog knows besides.

Names, types and order of columns are always the wire's: they are true for the rows that follow, while the catalog may
have moved on. The catalog adds what the wire lacks (nullability, primary key, enum labels, comments, what a domain or
an array is made of) where it still speaks of the same column. Never changes anything on the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.model import Column, Table
from tailrace.source.postgres import query
from tailrace.source.postgres.definition import definitions
from tailrace.source.postgres.portable import Bottom, portable


@dataclass(frozen=True, slots=True)
class Described:
    """A relation as in pgoutput's Relation message: columns are (name, type oid, modifier, part of the identity).

    The columns `nullable` can be null whatever the catalog says now: rows have shown it.
    """

    oid: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[tuple[str, int, int, bool], ...]
    nullable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Attribute:
    """One column as the catalog has it now."""

    name: str
    type_oid: int
    typmod: int
    not_null: bool
    generated: str
    comment: str | None = None
    identity: bool = False
    backfill: str | None = None
    default: str | None = None
    defaulted: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """The columns of a unique index that identifies a row, in index order."""

    primary: bool
    identity: bool
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Type:
    portable: str
    native: str
    labels: tuple[str, ...]


_UNKNOWN = _Type("other", "???", ())
"""A type that was dropped since, or is not committed: its text is passed on as it is."""


def attributes(
    connection: Connection, oids: Sequence[int], since: str | None = None, *, listed: str | None = None
) -> dict[int, list[Attribute]]:
    """The columns of relations, in order; none of one that is gone. With `since`, a transaction, a `backfill` is told
    only of those that were added, or altered, by it or later; with `listed`, of those that were so later than that,
    and the others are `defaulted`: rows may have had values in them before they were sent."""
    found: dict[int, list[Attribute]] = {oid: [] for oid in oids}
    params = {"oids": list(oids), "since": since, "listed": listed}
    for oid, *row in fetch(connection, query.load("attributes"), params):
        found[oid].append(Attribute(*row))
    return found


def keys(connection: Connection, oids: Sequence[int]) -> dict[int, list[Key]]:
    """Indexes that identify a row of the relations, the primary key first."""
    found: dict[int, list[Key]] = {oid: [] for oid in oids}
    for oid, primary, identity, names in fetch(connection, query.load("keys"), {"oids": list(oids)}):
        found[oid].append(Key(primary, identity, tuple(names)))
    return found


def tables(connection: Connection, relations: Sequence[Described]) -> list[Table]:
    """The table versions that rows of `relations` belong to. Asked of all at once: the server may be far away."""
    return [table for table, _ in described(connection, relations)]


def described(
    connection: Connection, relations: Sequence[Described], since: str | None = None, *, listed: str | None = None
) -> list[tuple[Table, bool]]:
    """As `tables`, `since` and `listed` as for `attributes`, and whether the catalog shows what the message says of a
    relation, and is not alone in saying by which columns its rows are known: it may have moved on, or show what was
    before a transaction that has not ended."""
    oids = [relation.oid for relation in relations]
    known, indexes = attributes(connection, oids, since, listed=listed), keys(connection, oids)
    asked = "SELECT oid, obj_description(oid, 'pg_class') FROM unnest(%(oids)s::oid[]) AS asked (oid)"
    comments: dict[int, str | None] = dict(fetch(connection, asked, {"oids": oids}))
    types = _types(connection, [(oid, typmod) for relation in relations for _, oid, typmod, _ in relation.columns])
    found = []
    for relation in relations:
        columns = _columns(relation, known[relation.oid], types)
        key = choose_key(relation, indexes[relation.oid], {c.name for c in columns if not c.nullable})
        needs = definitions(connection, [oid for _, oid, _, _ in relation.columns])
        comment = comments[relation.oid]
        table = Table(relation.schema, relation.name, columns, key=key, comment=comment, types=needs, oid=relation.oid)
        found.append((table, _is_shown(relation, known[relation.oid], types)))
    return found


def _is_shown(relation: Described, attributes: Sequence[Attribute], types: Mapping[tuple[int, int], _Type]) -> bool:
    known = {attribute.name: attribute.type_oid for attribute in attributes}
    return bool(_flagged(relation)) and all(
        known.get(name) == oid and types[oid, typmod] is not _UNKNOWN for name, oid, typmod, _ in relation.columns
    )


def _columns(
    relation: Described, attributes: Sequence[Attribute], types: Mapping[tuple[int, int], _Type]
) -> list[Column]:
    known = {a.name: a for a in attributes}
    columns = []
    for name, oid, typmod, _ in relation.columns:
        now = known.get(name)
        certain = now is not None and (now.type_oid, now.not_null) == (oid, True) and name not in relation.nullable
        kind = types[oid, typmod]
        column = Column(
            name,
            kind.portable,
            native=kind.native,
            nullable=not certain,
            labels=kind.labels,
            comment=now.comment if now is not None else None,
            identity=now is not None and now.identity,
            backfill=now.backfill if now is not None else None,
            default=now.default if now is not None else None,
            # A column that the catalog does not show is gone, or its transaction has not ended.
            defaulted=now is None or now.defaulted,
        )
        columns.append(column)
    return columns


def choose_key(relation: Described, indexes: Sequence[Key], not_null: set[str]) -> tuple[str, ...]:
    """The columns by which a row is known downstream.

    Under identity default or index the flagged columns are all that an old row shows, so they are the key, ordered as
    in their index. Without any it is the primary key, else the first unique index that cannot be null, clustered ones
    before others, by name: under full an old row shows it, and otherwise there are no old rows.
    """
    flagged = _flagged(relation)
    if flagged:
        same = (key.columns for key in indexes if set(key.columns) == set(flagged))
        return next(same, tuple(flagged))
    present = {name for name, *_ in relation.columns} & not_null
    return next((key.columns for key in indexes if present.issuperset(key.columns)), ())


def _flagged(relation: Described) -> list[str]:
    """The columns by which the message says that a row is known; none where only the catalog says that."""
    flagged = relation.replica_identity in ("d", "i")
    return [name for name, _, _, part in relation.columns if part and flagged]


def identity_columns(identity: str, indexes: Sequence[Key], columns: Sequence[str]) -> frozenset[str]:
    """The columns that pgoutput would flag: what an old row shows under this replica identity."""
    if identity == "f":
        return frozenset(columns)
    for key in indexes:
        if (identity == "d" and key.primary) or (identity == "i" and key.identity):
            return frozenset(key.columns)
    return frozenset()


def _types(connection: Connection, asked: Sequence[tuple[int, int]]) -> dict[tuple[int, int], _Type]:
    distinct = sorted(set(asked))
    params = {"oids": [oid for oid, _ in distinct], "typmods": [typmod for _, typmod in distinct]}
    found: dict[tuple[int, int], _Type] = {}
    for oid, typmod, native, dimensions, bottom_typmod, name, kind, home, labels in fetch(
        connection, query.load("types"), params
    ):
        bottom = Bottom(name, home, kind, bottom_typmod, dimensions)
        found[oid, typmod] = _Type(portable(bottom), native, tuple(labels))
    for oid, typmod in distinct:
        found.setdefault((oid, typmod), _UNKNOWN)
    return found
