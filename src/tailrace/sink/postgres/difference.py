"""Says why a table that exists cannot hold a source's rows, with the statement that mends it. Never runs one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from tailrace.dialect.postgres.session import statement_text
from tailrace.model import Column, Table
from tailrace.sink.postgres import ddl
from tailrace.sink.postgres.definition import Spelled
from tailrace.sink.postgres.evolve import fits
from tailrace.sink.postgres.present import Held, Present

__all__ = ["Difference", "assignable", "differences", "fitting", "message", "other_key", "set_aside"]

_ANY_TEXT = frozenset(("text", "character varying"))
_NAME_CHARACTERS = 50
"""Of a name that gets an addition: 63 bytes are the limit."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What keeps a table from holding a source's rows, and the statement that mends it."""

    message: str
    fix: str


def differences(
    table: Table, present: Present, spelled: Spelled, *, constants: Mapping[str, str]
) -> Iterator[Difference]:
    """What keeps `present` from holding the rows of `table`; columns that it lacks are added, and are none."""
    yield from _about_constants(table, present, constants)
    for column in table.columns:
        held = present.columns.get(column.name)
        if held is not None:
            yield from _about_column(table, present, column, spelled=spelled)
    sent = {column.name for column in table.columns}
    for held in present.columns.values():
        if held.blocks and held.name not in sent and held.name not in constants:
            yield Difference(
                f"{present} wants a value for the column {held.name}, which {table} does not have",
                statement_text(ddl.drop_not_null(present.name, held.name)),
            )


def fitting(column: Column, held: Held, spelled: Spelled) -> bool:
    """Whether every value of the source's column is one of the target's."""
    if held.type == spelled.of(column.native) or fits(spelled.base(column.native), held.base):
        return True
    labels = spelled.labels(column.native)
    return bool(labels) and set(labels) <= set(held.labels)


def assignable(column: Column, held: Held, spelled: Spelled) -> bool:
    """As `fitting`, or the target keeps the values as the source prints them."""
    return held.base in _ANY_TEXT or fitting(column, held, spelled)


def message(table: Table, present: Present, column: Column, *, spelled: Spelled) -> str:
    """That a column has types which do not go together."""
    ours, theirs = spelled.of(column.native), present.columns[column.name].type
    return f"the column {column.name} of {table} is {ours} now, but {theirs} in {present}, which cannot hold its values"


def set_aside(table: Table, present: Present, column: str) -> str:
    """What to do with a column that cannot follow."""
    if column in {*table.key, *present.primary_key}:
        rename = sql.SQL("ALTER TABLE {} RENAME TO {}").format(present.name, _aside(present.table))
        return f"{statement_text(rename)}; then, as the column is of the key, start with a new snapshot: tailrace reset"
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
        present.name, sql.Identifier(column), _aside(column)
    )
    return (
        f"{statement_text(rename)}; then the column is added with its new type. If the same is said again, rows from"
        " before the change still wait in the log, and only a new snapshot is left: tailrace reset"
    )


def _aside(name: str) -> sql.Identifier:
    return sql.Identifier(f"{name[:_NAME_CHARACTERS]}_before")


def other_key(present: Present, key: Sequence[str]) -> str:
    """The statement that gives a table another primary key, or none."""
    statement = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
        present.name, sql.Identifier(present.primary_key_name or "")
    )
    if key:
        statement += sql.SQL(", ADD PRIMARY KEY ({})").format(sql.SQL(", ").join(map(sql.Identifier, key)))
    return statement_text(statement)


def _about_constants(table: Table, present: Present, constants: Mapping[str, str]) -> Iterator[Difference]:
    for name in constants:
        if name not in present.columns:
            statement = sql.SQL("ALTER TABLE {} ADD COLUMN {} text").format(present.name, sql.Identifier(name))
            message = f"{present} has no column {name}, which is a constant of the sink"
            yield Difference(message, statement_text(statement))
    apart = present.primary_key
    if constants and apart and apart <= {column.name for column in table.columns}:
        message = f"the primary key of {present} does not tell one {', '.join(constants)} from another"
        yield Difference(message, other_key(present, (*constants, *(table.key or sorted(apart)))))


def _about_column(table: Table, present: Present, column: Column, *, spelled: Spelled) -> Iterator[Difference]:
    held, name = present.columns[column.name], sql.Identifier(column.name)
    if held.generated:
        if column.name in table.key:
            statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP EXPRESSION").format(present.name, name)
            what = f"the column {column.name} of {present} is generated, but part of the key of {table}"
            yield Difference(what, statement_text(statement))
    elif not assignable(column, held, spelled):
        type = sql.SQL(spelled.of(column.native))  # text for a human to read
        change = sql.SQL("ALTER TABLE {0} ALTER COLUMN {1} TYPE {2} USING {1}::{2}").format(present.name, name, type)
        yield Difference(message(table, present, column, spelled=spelled), statement_text(change))
    elif held.counts_alone and column.name not in table.key:
        statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET GENERATED BY DEFAULT").format(present.name, name)
        what = f"the column {column.name} of {present} is GENERATED ALWAYS AS IDENTITY, so that no update can set it"
        yield Difference(what, statement_text(statement))
    elif column.nullable and held.not_null:
        what = f"the column {column.name} of {table} may be null, but not in {present}"
        yield Difference(what, statement_text(ddl.drop_not_null(present.name, column.name)))
