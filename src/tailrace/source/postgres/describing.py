"""Says what a source would read now: its tables, and where their sequences stand. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.model import Table
from tailrace.source.postgres import pattern, plan, publication
from tailrace.source.postgres.publication import Published

__all__ = ["captured", "tables"]


def tables(connection: Connection, name: str, patterns: Sequence[str]) -> list[Table]:
    """The tables of the publication `name` that match; those that it would be made of, while there is none."""
    return plan.described(connection, captured(connection, name, patterns))


def captured(connection: Connection, name: str, patterns: Sequence[str]) -> list[Published]:
    """As `tables`, as what is published."""
    found = publication.load(connection, name)
    if found is not None:
        return plan.tables_of(connection, name, publication.selection(connection, found, patterns))
    chosen = pattern.choose(patterns, publication.relations(connection))
    rows = fetch(
        connection,
        "SELECT oid, relreplident::text FROM pg_class WHERE oid = ANY (%(oids)s::oid[])",
        {"oids": [relation.oid for relation in chosen]},
    )
    identities = dict(rows)
    return [Published(r.oid, r.schema, r.name, r.kind, identities[r.oid], None, None) for r in chosen]
