"""Keeps `origin = "none"` from sending back what a pipeline the other way wrote without a mark. Changes nothing.

A pipeline into this database is known by its claim in `tailrace.position`, which it commits before its first row. A
batch that was read after that claim is therefore not handed on before the claim is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import sql

from tailrace.dialect.postgres.origin import grant
from tailrace.dialect.postgres.session import Connection, fetch, statement_text
from tailrace.error import CheckFailed
from tailrace.source.postgres import query

__all__ = ["Unmarked", "Watch", "closed", "unmarked"]

_MARKS = "whether they mark what they write"


@dataclass(frozen=True, slots=True)
class Unmarked:
    """What would be sent back, and the statement by which it is told apart."""

    reason: str
    fix: str


def unmarked(connection: Connection) -> list[Unmarked]:
    """Every pipeline into this database without a replication origin, or that the role may not see them."""
    hidden = closed(connection, _MARKS, "position")
    return [] if hidden is None else [*hidden, *([] if hidden else _pipelines(connection))]


class Watch:
    """Called before anything is handed on: `CheckFailed` for the first pipeline that is not marked."""

    def __init__(self, connection: Connection, settle: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self._settle = settle
        self._readable = False

    def __call__(self) -> None:
        """See the class."""
        self._settle()
        found = list(_pipelines(self._connection)) if self._readable else unmarked(self._connection)
        if found:
            raise CheckFailed(f'{found[0].reason}, and origin = "none" would send it back', hint=found[0].fix)
        self._readable = self._readable or closed(self._connection, _MARKS, "position") == []


def closed(connection: Connection, what: str, *tables: str) -> list[Unmarked] | None:
    """That the role may not see `what`, which `tables` of the schema tailrace hold; nothing if it may.

    None while no pipeline has ever written here.
    """
    found = fetch(connection, query.load("bookkeeping"), {"tables": list(tables)})
    if not found:
        return None
    [[readable, role]] = found
    if readable:
        return []
    names = sql.SQL(", ").join(sql.Identifier("tailrace", table) for table in tables)
    fix = sql.SQL("GRANT USAGE ON SCHEMA tailrace TO {0}; GRANT SELECT ON {1} TO {0}")
    reason = f"pipelines write into this database, and role {role} may not see {what}"
    return [Unmarked(reason, statement_text(fix.format(sql.Identifier(role), names)))]


def _pipelines(connection: Connection) -> Iterator[Unmarked]:
    for name, role in fetch(connection, query.load("unmarked")):
        reason = f"pipeline {name!r} writes into this database without a replication origin"
        yield Unmarked(f"{reason} (if it is no more: `tailrace drop`)", grant(role))
