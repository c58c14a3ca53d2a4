"""Names slots and publications that no pipeline of a configuration owns and nobody reads now. Changes nothing.

A pipeline of another configuration that is stopped looks just like one that is gone, so a statement that drops stands
only beside what nobody can go on with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass

from psycopg import sql

from tailrace.dialect.postgres.session import Connection, Login, connect, fetch, statement_text
from tailrace.model import Finding
from tailrace.source.postgres import query
from tailrace.source.postgres.finding import some, warning

_NAMED_MAX = 5
_WAY = "`tailrace drop`, with the configuration of that pipeline, removes what it made"


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str
    database: str
    retained: int
    since: str | None
    invalidation: str | None

    def __str__(self) -> str:
        unused = f", unused since {self.since}" if self.since else ""
        return f"{self.name} (database {self.database}, {self.retained / 2**20:,.0f} MiB of log kept{unused})"


def orphans(login: Login, slots: Collection[str], publications: Collection[str]) -> list[Finding]:
    """Warnings of those that are not in use and not among the owned ones."""
    with closing(connect(login)) as connection:
        return [*_slots(connection, slots), *_publications(connection, publications)]


def _slots(connection: Connection, owned: Collection[str]) -> Iterator[Finding]:
    found = [_Slot(*row) for row in fetch(connection, query.load("idle_slots"), {"slots": list(owned)})]
    for each in found:
        if each.invalidation is not None:
            message = f"invalidated by the server ({each.invalidation}): no pipeline can go on with it"
            fix = sql.SQL("SELECT pg_drop_replication_slot({})").format(sql.Literal(each.name))
            yield warning(f"slot {each.name}", message, statement_text(fix))
    idle = [str(each) for each in found if each.invalidation is None]
    if idle:
        whose = "pipelines of other configurations that are stopped, or gone, own them"
        yield warning("slots that nobody reads now", f"{some(idle, _NAMED_MAX)}; {whose}: {_WAY}")


def _publications(connection: Connection, owned: Collection[str]) -> Iterator[Finding]:
    doubtful = []
    for name, unread in fetch(connection, query.load("lone_publications"), {"publications": list(owned)}):
        if unread:
            fix = sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name))
            message = "there is no slot with that name, nor one that could read it"
            yield warning(f"publication {name}", message, statement_text(fix))
        else:
            doubtful.append(name)
    if doubtful:
        whose = "pipelines may read them through slots of other names, or on a standby"
        yield warning("publications without a slot of their name", f"{some(doubtful, _NAMED_MAX)}; {whose}: {_WAY}")
