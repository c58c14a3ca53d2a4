"""What lies in the target under a table's name. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from tailrace.dialect.postgres.equality import EQUAL, operators
from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.sink.postgres import ddl, query

__all__ = ["Held", "Present", "find"]


@dataclass(frozen=True, slots=True)
class Held:
    """A column as it is: `equals` is the operator by which its values are, `base` what a domain is made of.

    `fills_itself` says that an insert may leave it out, `counts_alone` that no update may give it a value (GENERATED
    ALWAYS AS IDENTITY); `receiver` is the function of `pg_catalog` that reads the binary form of the base, or nothing.
    """

    name: str
    equals: str
    type: str
    base: str
    not_null: bool
    generated: bool
    identity: bool
    fills_itself: bool
    in_primary_key: bool
    counts_alone: bool
    labels: Sequence[str]
    receiver: str

    @property
    def blocks(self) -> bool:
        """An insert that leaves it out fails."""
        return self.not_null and not (self.generated or self.identity or self.fills_itself)


@dataclass(frozen=True, slots=True)
class Present:
    """A table that exists; `kind` is `pg_class.relkind`, `primary_key_name` that of the constraint, if there is one."""

    oid: int
    kind: str
    schema: str
    table: str
    primary_key_name: str | None
    columns: Mapping[str, Held]

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def name(self) -> sql.Composed:
        """The table, as SQL."""
        return ddl.qualified(self.schema, self.table)

    def equals(self, name: str) -> str:
        """By which operator values of a column are equal."""
        held = self.columns.get(name)
        return EQUAL if held is None else held.equals

    @property
    def primary_key(self) -> frozenset[str]:
        """The columns of its primary key."""
        return frozenset(held.name for held in self.columns.values() if held.in_primary_key)


def find(connection: Connection, schema: str, name: str) -> Present | None:
    """What lies under this name, with its columns in order; None when nothing does."""
    found = fetch(connection, query.load("relation"), {"schema": schema, "name": name})
    if not found:
        return None
    [[oid, kind, primary_key]] = found
    rows = fetch(connection, query.load("columns"), {"oid": oid})
    foreign = operators(connection, oid)
    columns = {name: Held(name, foreign.get(name, EQUAL), *row) for name, *row in rows}
    return Present(oid, kind, schema, name, primary_key, columns)
