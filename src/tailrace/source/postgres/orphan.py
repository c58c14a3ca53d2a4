"""Names slots and publications that earlier pipelines left on the server. Changes nothing: others may own them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing

from psycopg import sql

from tailrace.dialect.postgres.session import Login, connect, fetch, statement_text
from tailrace.model import Finding
from tailrace.source.postgres import query
from tailrace.source.postgres.finding import warning

_WHOSE = "no pipeline of this configuration owns it; drop it, unless another one does"


def orphans(login: Login, slots: Collection[str], publications: Collection[str]) -> list[Finding]:
    """A warning for each that is not in use and not among the owned ones, with the statement that drops it."""
    owned = {"slots": list(slots), "publications": list(publications)}
    with closing(connect(login)) as connection:
        rows = fetch(connection, query.load("orphans"), owned)
    return [_finding(kind, name, database=database, retained=retained) for kind, name, database, retained in rows]


def _finding(kind: str, name: str, *, database: str, retained: int | None) -> Finding:
    if kind == "publication":
        fix = statement_text(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name)))
        return warning(f"publication {name}", f"nobody uses it, and {_WHOSE}", fix)
    kept = f"it keeps {(retained or 0) / 2**20:,.0f} MiB of log and nobody reads it" if retained else "nobody reads it"
    fix = statement_text(sql.SQL("SELECT pg_drop_replication_slot({})").format(sql.Literal(name)))
    return warning(f"slot {name}", f"{kept} (database {database}); {_WHOSE}", fix)
