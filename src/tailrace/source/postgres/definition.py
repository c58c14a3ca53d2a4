"""Says of the types that are not the server's own how another server would make them. Never changes anything."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter

from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.model import TypeDefinition
from tailrace.source.postgres import query

__all__ = ["definitions"]

_FIRST_OF_USERS = 16384
"""`FirstNormalObjectId`: what has a smaller oid came with the server (access/transam.h)."""
_BY_THEMSELVES = frozenset(("array", "multirange"))
"""Types that come into being with another."""


def definitions(connection: Connection, oids: Iterable[int]) -> list[TypeDefinition]:
    """What the types `oids` need that is not the server's own, each behind those that it needs itself."""
    asked = sorted({oid for oid in oids if oid >= _FIRST_OF_USERS})
    if not asked:
        return []
    order: TopologicalSorter[int] = TopologicalSorter()
    found: dict[int, TypeDefinition] = {}
    for oid, schema, name, kind, labels, parts, below in fetch(connection, query.load("definitions"), {"oids": asked}):
        order.add(oid, *below)
        if kind not in _BY_THEMSELVES:
            found[oid] = TypeDefinition(schema, name, kind, labels=labels, parts=[(a, b) for a, b in parts or ()])
    return [found[oid] for oid in order.static_order() if oid in found]
