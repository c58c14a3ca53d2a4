"""The publication: made from the table patterns, extended when more tables match, dropped when it is ours.

What it contains is what the stream contains; a publication that somebody else made is never altered. Ours carries a
comment, by which it is known. Never touches a slot.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from psycopg import sql

from tailrace.dialect.postgres.session import Connection, fetch, run, statement_text
from tailrace.error import CheckFailed, ConfigError
from tailrace.source.postgres import pattern, query
from tailrace.source.postgres.finding import some
from tailrace.source.postgres.pattern import Relation

_log = logging.getLogger("tailrace.source.postgres")
_OURS = "Made by Tailrace for pipeline "
_BARE = "Made by Tailrace for pipeline, without tables: "
_EVERY = "Made by Tailrace for pipeline, of all tables: "
_LASTING = "tailrace_tail"
_TAIL = "Made by tailrace tail; dropped when it ends"
_GENERATED = 180000
WHOLE = "to have all of a table, in one transaction: ALTER PUBLICATION … DROP TABLE …; ALTER PUBLICATION … ADD TABLE …"
"""What is told of a publication of ours that leaves something out of a table."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as the server has it."""

    name: str
    all_tables: bool
    via_root: bool
    usable: bool
    comment: str | None
    rows: bool
    truncates: bool
    generated: str | None

    @property
    def ours(self) -> bool:
        """Whether Tailrace made it."""
        return (self.comment or "").startswith((_OURS, _BARE, _EVERY, _TAIL))

    @property
    def chosen(self) -> bool:
        """Whether its tables are those that Tailrace chose for it."""
        return (self.comment or "").startswith((_OURS, _TAIL))


@dataclass(frozen=True, slots=True)
class Published:
    """A table of a publication: what of it is sent. `columns` is None on servers that know no column lists."""

    oid: int
    schema: str
    name: str
    kind: str
    replica_identity: str
    columns: tuple[str, ...] | None
    row_filter: str | None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The publication that a source asks for. `pipeline` is None for a tail, whose publication goes with it.

    On a `standby` nothing can be made. With `no_tables` it is made without any, and none is added; with `all_tables`,
    of all that the database ever has.
    """

    name: str
    pipeline: str | None
    tables: tuple[str, ...]
    create: bool
    via_root: bool
    generated: bool
    standby: bool = False
    no_tables: bool = False
    all_tables: bool = False


def load(connection: Connection, name: str) -> Publication | None:
    """The publication of that name, if there is one."""
    rows = fetch(connection, query.load("publication"), {"publication": name})
    return Publication(name, *rows[0]) if rows else None


def published(connection: Connection, name: str) -> list[Published]:
    """The tables that the publication sends, by name; partitions as `publish_via_partition_root` says."""
    return [
        Published(oid, schema, table, kind, identity, None if columns is None else tuple(columns), row_filter)
        for oid, schema, table, kind, identity, columns, row_filter in fetch(
            connection, query.load("published"), {"publication": name}
        )
    ]


def relations(connection: Connection) -> list[Relation]:
    """Everything outside the system schemas that a pattern may name."""
    return [
        Relation(oid, schema, name, kind, persistence, tuple(ancestors), *identity)
        for oid, schema, name, kind, persistence, ancestors, *identity in fetch(connection, query.load("relations"))
    ]


def selection(connection: Connection, found: Publication, patterns: Sequence[str]) -> tuple[str, ...] | None:
    """Globs of what is captured of a publication; None when that is all of it.

    Of one that somebody else filled it is what the patterns mean; of ours all but what they mean no more now, so that
    a table goes on that gets another name while it is read. A partition that is sent in its own name is meant by a
    pattern for a partitioned table above it.
    """
    if pattern.is_all(patterns):
        return None
    if found.chosen:
        outside = left_out(connection, found, patterns)
        return ("*", *(f"!{glob.escape(str(table))}" for table in outside)) if outside else None
    there = {relation.oid: relation for relation in relations(connection)}
    meant = [glob.escape(str(relation)) for relation in there.values() if _above(relation, there, patterns)]
    return (*patterns, *meant)


def absent(connection: Connection, found: Publication, chosen: Sequence[Relation]) -> list[Relation]:
    """What the publication would have to be given, to send all of `chosen`."""
    if found.all_tables:
        return []
    inside = {table.oid for table in published(connection, found.name)}
    return [r for r in chosen if r.oid not in inside and not _covered(connection, r, inside)]


def left_out(connection: Connection, found: Publication, patterns: Sequence[str]) -> list[Published]:
    """What is in a publication of ours, and meant by the patterns no more: they were narrowed, or it was renamed."""
    there = {relation.oid: relation for relation in relations(connection)}
    return [
        table
        for table in published(connection, found.name)
        if not pattern.matches(str(table), patterns)
        and not (table.oid in there and _above(there[table.oid], there, patterns))
    ]


def thinned(connection: Connection, name: str) -> list[str]:
    """What somebody has made a publication leave out of its tables, each in words."""
    told = []
    for table, filtered, left_out in fetch(connection, query.load("thinned"), {"publication": name}):
        told += [f"rows of {table} (a row filter)"] if filtered else []
        told += [f"{some(left_out)} of {table} (a list of its columns)"] if left_out else []
    return told


def _above(relation: Relation, there: Mapping[int, Relation], patterns: Sequence[str]) -> bool:
    """Whether the patterns mean a partitioned table above it."""
    return any(pattern.matches(str(there[oid]), patterns) for oid in relation.ancestors if oid in there)


def ensure(connection: Connection, wanted: Wanted) -> Publication:
    """Make the publication, or add to ours what matches now but is not in it. Never removes a table: one that matches
    no more is told of.

    Raises `ConfigError` for a table that does not exist or when nothing matches, `CheckFailed` with the statement for
    an administrator when the role may not do it.
    """
    chosen = [] if wanted.no_tables else pattern.choose(wanted.tables, relations(connection))
    found = load(connection, wanted.name)
    if found is None:
        _create(connection, wanted, chosen)
    else:
        _extend(connection, wanted, found=found, chosen=chosen)
        if found.chosen:
            _warn_of_left_out(connection, wanted, found)
    made = load(connection, wanted.name)
    if made is None:
        raise ConfigError(f"publication {wanted.name!r} was dropped while the source was opened")
    if not made.all_tables and not wanted.no_tables and not published(connection, wanted.name):
        raise ConfigError(
            f"publication {wanted.name!r} contains no table",
            hint=f"add one: ALTER PUBLICATION {wanted.name} ADD TABLE ...; for messages only: no_tables = true",
        )
    return made


def create_statement(wanted: Wanted, chosen: Sequence[Relation], server_version: int) -> str:
    """The statement that makes the publication, for a human to run."""
    return statement_text(_create_sql(wanted, chosen, server_version))


def drop(connection: Connection, name: str) -> bool:
    """Drop the publication if it is ours; whether it was."""
    found = load(connection, name)
    if found is None or not found.ours:
        return False
    _drop(connection, name)
    return True


def lock(connection: Connection, name: str) -> None:
    """Hold, as long as `connection` lives, the sign that the tail that made publication `name` lives."""
    fetch(connection, "SELECT pg_advisory_lock(hashtextextended(%(name)s, 0))", {"name": name})


def sweep(connection: Connection) -> None:
    """Drop the publications of tails that were killed before they could."""
    for (name,) in fetch(connection, query.load("leftovers"), {"comment": _TAIL}):
        _drop(connection, name)
        _log.info("dropped publication %s, left by a tail that was killed", name)


def _create(connection: Connection, wanted: Wanted, chosen: Sequence[Relation]) -> None:
    if not chosen and not wanted.no_tables and not wanted.all_tables:
        raise pattern.unmatched(wanted.tables, connection.info.dbname)
    statement = _create_sql(wanted, chosen, connection.info.server_version)
    # Each tail's own has another name: one that is made for it by somebody else is made once, and given to it.
    lasting = wanted if wanted.pipeline is not None or not wanted.create else replace(wanted, name=_LASTING)
    byhand = create_statement(lasting, chosen, connection.info.server_version)
    given = "" if lasting is wanted else f", and name it to each tail (--publication {_LASTING})"
    if wanted.standby:
        raise CheckFailed(
            f"publication {wanted.name!r} does not exist, and this server is a standby",
            hint=f"make it on the primary{given}: {byhand}",
        )
    if not wanted.create:
        why = "" if wanted.pipeline is None else " and create = false"
        raise CheckFailed(f"publication {wanted.name!r} does not exist{why}", hint=byhand)
    made_for = _BARE if wanted.no_tables else _EVERY if wanted.all_tables else _OURS
    comment = f"{made_for}{wanted.pipeline}" if wanted.pipeline is not None else _TAIL
    with _rights(wanted.name, f"run{given}: {byhand}"), connection.transaction():
        run(connection, statement, f"create publication {wanted.name!r}")
        note = sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(sql.Identifier(wanted.name), sql.Literal(comment))
        run(connection, note, f"comment on publication {wanted.name!r}")
    if wanted.all_tables:
        _log.info("created publication %s for all tables", wanted.name)
        chosen = pattern.choose(("*.*",), relations(connection))
    else:
        _log.info("created publication %s for %d table(s)", wanted.name, len(chosen))
    _warn_of_unidentified(chosen)


def _create_sql(wanted: Wanted, chosen: Sequence[Relation], server_version: int) -> sql.Composed:
    options = [sql.SQL("publish_via_partition_root = {}").format(sql.Literal(wanted.via_root))]
    if server_version >= _GENERATED:
        options.append(
            sql.SQL("publish_generated_columns = {}").format(sql.SQL("stored" if wanted.generated else "none"))
        )
    tables = sql.SQL(" FOR TABLE {}").format(_names(chosen)) if chosen else sql.SQL("")
    if wanted.all_tables:
        tables = sql.SQL(" FOR ALL TABLES")
    return sql.SQL("CREATE PUBLICATION {}{} WITH ({})").format(
        sql.Identifier(wanted.name), tables, sql.SQL(", ").join(options)
    )


def _extend(connection: Connection, wanted: Wanted, *, found: Publication, chosen: Sequence[Relation]) -> None:
    if wanted.no_tables:
        return
    missing = absent(connection, found, chosen)
    if found.ours and wanted.create and missing and not wanted.standby:
        statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(sql.Identifier(wanted.name), _names(missing))
        with _rights(wanted.name, f"run: {statement_text(statement)}"):
            run(connection, statement, f"add tables to publication {wanted.name!r}")
        names = ", ".join(str(relation) for relation in missing)
        _log.warning(
            "added %s to publication %s: streamed from now on, rows from before are not in", names, wanted.name
        )
        _warn_of_unidentified(missing)
        return
    named = [r for r in missing if str(r) in wanted.tables]
    if named:
        statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(sql.Identifier(wanted.name), _names(named))
        raise CheckFailed(
            f"publication {wanted.name!r} does not contain {', '.join(map(str, named))}",
            hint=f"{_why_not(found, wanted)}: {statement_text(statement)}",
        )


def _why_not(found: Publication, wanted: Wanted) -> str:
    if wanted.standby:
        return "this server is a standby, so run it on the primary"
    return "Tailrace did not make it, so it does not alter it" if not found.ours else "create = false"


def _warn_of_left_out(connection: Connection, wanted: Wanted, found: Publication) -> None:
    outside = left_out(connection, found, wanted.tables)
    if outside:
        _log.warning(
            "%s in publication %s, and `tables` means it no more: what changes there is left out; to have it not sent:"
            " ALTER PUBLICATION %s DROP TABLE %s",
            f"{', '.join(map(str, outside))} {'is' if len(outside) == 1 else 'are'}",
            wanted.name,
            statement_text(sql.SQL("{}").format(sql.Identifier(wanted.name))),
            statement_text(sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in outside)),
        )


def _warn_of_unidentified(tables: Sequence[Relation]) -> None:
    for table in tables:
        if not table.identified:
            name = statement_text(sql.SQL("{}").format(sql.Identifier(table.schema, table.name)))
            _log.warning(
                "%s has no replica identity: as long as it is published, the server refuses UPDATE and DELETE of it;"
                " to allow them: ALTER TABLE %s REPLICA IDENTITY %s",
                table,
                name,
                table.identity,
            )


def _covered(connection: Connection, relation: Relation, inside: set[int]) -> bool:
    """A partitioned table whose partitions are sent in their own names is in, though not by its own oid."""
    if relation.kind != "p":
        return False
    leaves = fetch(connection, "SELECT relid::oid FROM pg_partition_tree(%(oid)s) WHERE isleaf", {"oid": relation.oid})
    return bool(leaves) and all(oid in inside for (oid,) in leaves)


@contextmanager
def _rights(name: str, way: str) -> Iterator[None]:
    try:
        yield
    except CheckFailed as error:
        raise CheckFailed(
            f"the role may not make or alter publication {name!r}",
            hint=f"let the owner of the tables, or a superuser, {way}",
        ) from error


def _drop(connection: Connection, name: str) -> None:
    statement = sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name))
    run(connection, statement, f"drop publication {name!r}")


def _names(tables: Sequence[Relation]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
