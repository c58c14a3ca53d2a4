"""Says which error of the target is about one change, and what about it. Never lets a row value through."""

from __future__ import annotations

from typing import Final

import psycopg

from tailrace.model import Table
from tailrace.sink.postgres.target import Target

__all__ = ["NOT_FOUND", "concerns_rows", "reason"]

NOT_FOUND: Final = "22012"
"""Our own statements divide by the number of rows that they found."""


def concerns_rows(error: psycopg.Error) -> bool:
    """Whether values are to blame (data exceptions, integrity violations), and not the session or the server."""
    return (error.sqlstate or "")[:2] in {"22", "23", "44"} or error.sqlstate in {"54000", "P0001"}


def reason(error: psycopg.Error, target: Target | None, table: Table) -> str:
    """Why a change of `table` cannot be applied: names of table, constraint and columns, never values."""
    if error.sqlstate == NOT_FOUND:
        return f"{table} has no such row at the target, and the update did not send all columns of it"
    diag = error.diag
    what = _words(type(error).__name__)
    named = [
        f"{kind} {name}"
        for kind, name in (("constraint", diag.constraint_name), ("column", diag.column_name))
        if name is not None
    ]
    key = f" (key {', '.join(target.key)})" if target is not None and target.key else ""
    return f"{what} at the target in {table}{key}{''.join(f', {name}' for name in named)} (SQLSTATE {error.sqlstate})"


def _words(name: str) -> str:
    """`UniqueViolation` → `unique violation`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
