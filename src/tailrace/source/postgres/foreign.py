"""Keeps `origin = "none"` from a snapshot of tables that others fill by replication too. Changes nothing.

Such a snapshot holds their rows as they were, and what has come from them since is left out by its origin: with the
other side as its target, an older row takes the place of a newer one there for good. PostgreSQL warns of the same where
a subscription has `origin = none` and `copy_data = true`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import CheckFailed
from tailrace.source.postgres import loop, pattern, plan, publication, query
from tailrace.source.postgres.place import Lineage

if TYPE_CHECKING:
    from tailrace.source.postgres.config import Postgres

__all__ = ["require_own_rows"]

_FIX = 'set snapshot = "never" if the target has the rows; of two ways only the first begins with a snapshot, and alone'


def require_own_rows(connection: Connection, source: Postgres, *, name: str, pipeline: str, lineage: Lineage) -> None:
    """`CheckFailed` if `origin = "none"` and somebody else fills the tables that a snapshot of `pipeline` would read.

    `name` is that of its publication.
    """
    if source.origin != "none":
        return
    kin = fetch(connection, query.load("kin"), {"oids": _tables(connection, source, name)})
    here = str(lineage).removesuffix(lineage.slot)
    told = {"oids": [oid for (oid,) in kin], "pipeline": pipeline, "here": here}
    for reason, fix in _fillers(connection, told):
        raise CheckFailed(f'{reason}: a snapshot with origin = "none" would take its rows for those of here', hint=fix)


def _tables(connection: Connection, source: Postgres, name: str) -> list[int]:
    """What is published, and what the start would add to that if it fills the publication."""
    found = publication.load(connection, name)
    chosen = pattern.choose(source.tables, publication.relations(connection))
    oids = [relation.oid for relation in chosen]
    if found is None:
        return oids
    globs = publication.selection(connection, found, source.tables)
    inside = [table.oid for table in plan.tables_of(connection, name, globs)]
    return [*inside, *oids] if found.chosen else inside


def _fillers(connection: Connection, told: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Each who fills one of these tables, and what to do about that."""
    for (name,) in fetch(connection, query.load("subscribers"), {"oids": told["oids"]}):
        yield f"subscription {name!r} fills tables of this pipeline", _FIX
    closed = loop.closed(connection, "which tables they fill", "position", "target")
    if closed is None:
        return
    for each in closed:
        yield each.reason, each.fix
    if closed:
        return
    for name, known in fetch(connection, query.load("fillers"), told):
        what = "fills tables of this pipeline" if known else "writes into this database, it is not known yet where"
        yield f"pipeline {name!r} {what} (if it is no more: `tailrace drop`)", _FIX
