"""Replication origins: how a pipeline marks what it writes, and who may. Never writes anything.

PostgreSQL manual, "Replication Progress Tracking".
"""

from __future__ import annotations

from typing import Final

from psycopg import sql

from tailrace.dialect.postgres.session import statement_text

__all__ = ["FUNCTIONS", "grant", "origin_name"]

FUNCTIONS: Final = (
    "pg_replication_origin_create",
    "pg_replication_origin_drop",
    "pg_replication_origin_oid",
    "pg_replication_origin_session_is_setup",
    "pg_replication_origin_session_reset",
    "pg_replication_origin_session_setup",
    "pg_replication_origin_xact_setup",
)
"""What a role must be allowed to call, each of one signature only."""


def origin_name(database: str, name: str, member: int = 1) -> str:
    """A replication origin of pipeline `name` into `database`: origins belong to the whole server.

    One for each `member` of a group that writes at the same time: an origin is one session's.
    """
    first = f"tailrace/{database}/{name}"
    return first if member == 1 else f"{first}/{member}"


def grant(role: str) -> str:
    """The statement that lets `role` mark what it writes; for a superuser in the database where it writes."""
    functions = sql.SQL(", ").join(map(sql.SQL, FUNCTIONS))
    return statement_text(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(functions, sql.Identifier(role)))
