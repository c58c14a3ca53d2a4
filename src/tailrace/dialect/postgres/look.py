"""Looks at rows as they are now: one snapshot for several statements, and which version of a row was seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql

from tailrace.dialect.postgres.session import Connection, fetch, run

__all__ = ["VERSION", "fetch_composed", "snapshot"]

VERSION = sql.SQL("t.tableoid::text || t.ctid::text || t.xmin::text")
"""Which version of a row of `t` this is: an update writes another one, even if it changes nothing."""
_DIRECT = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"


@contextmanager
def snapshot(session: Connection, doing: str) -> Iterator[None]:
    """One snapshot for all statements inside, which look rows up by their keys."""
    run(session, sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), doing)
    try:
        run(session, sql.SQL(_DIRECT), doing)
        yield
    finally:
        if not session.closed:
            run(session, sql.SQL("ROLLBACK"), doing)


def fetch_composed(session: Connection, statement: sql.Composed, doing: str) -> list[tuple[Any, ...]]:
    """The rows of a statement without parameters, in which a per cent sign is only that."""
    return fetch(session, statement.as_string(session).replace("%", "%%"), {}, doing=doing)
