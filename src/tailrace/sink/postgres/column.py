"""Makes a target's columns hold every value of the source's, or says why they cannot. Never drops one.

`check` is for a table that was there before us: it is taken as it is. What was taken follows its source from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from psycopg import sql

from tailrace import identity
from tailrace.dialect.postgres.session import Connection, fetch, run
from tailrace.error import Fatal
from tailrace.model import Column, Table
from tailrace.sink.postgres import ddl
from tailrace.sink.postgres.definition import Definitions, Spelled
from tailrace.sink.postgres.difference import assignable, differences, fitting, message, other_key, set_aside
from tailrace.sink.postgres.evolve import fits
from tailrace.sink.postgres.present import Held, Present, find
from tailrace.sink.postgres.record import Record

__all__ = ["Columns"]

log = logging.getLogger("tailrace.sink.postgres")


class Columns:
    """The columns of the target tables of one pipeline. Every method runs in the transaction of its caller."""

    def __init__(self, connection: Connection, definitions: Definitions, constants: Mapping[str, str]) -> None:
        self._connection = connection
        self._definitions = definitions
        self._constants = constants

    def create(self, table: Table, place: tuple[str, str], spelled: Spelled) -> Present:
        """Make the table, with its schema, key and comments."""
        schema, name = place
        [[found]] = fetch(
            self._connection, "SELECT to_regnamespace(quote_ident(%(name)s)) IS NOT NULL", {"name": schema}
        )
        if not found:
            run(self._connection, ddl.create_schema(schema), f"create the schema {schema} at the target")
        target = ddl.qualified(schema, name)
        columns = [(column, self._definitions.read(spelled.of(column.native))) for column in table.columns]
        key = (*self._constants, *table.key) if table.key else ()
        statement = ddl.create_table(target, columns, key=key, constants=tuple(self._constants))
        run(self._connection, statement, f"create the table {schema}.{name} at the target")
        if table.comment is not None:
            run(self._connection, ddl.comment_on_table(target, table.comment), f"comment on {schema}.{name}")
        for column in table.columns:
            self._comment(target, column)
        present = find(self._connection, schema, name)
        assert present is not None
        return present

    def check(self, table: Table, present: Present, spelled: Spelled) -> None:
        """`Fatal` for the first difference that a table which was there before us may not have."""
        for difference in differences(table, present, spelled, constants=self._constants):
            raise Fatal(difference.message, hint=difference.fix)

    def check_key(self, table: Table, present: Present, before: tuple[str, ...]) -> None:
        """`Fatal` when the source has another key now, and the target still holds rows apart by the one `before`."""
        held = present.primary_key - self._constants.keys()
        if table.key == before or not held or held != set(before):
            return
        if not table.key or not held.issuperset(table.key):
            now = f"is ({', '.join(table.key)}) now" if table.key else "is gone"
            raise Fatal(
                f"the key of {table} {now}, but ({', '.join(before)}) at the target",
                hint=other_key(present, (*self._constants, *table.key) if table.key else ()),
            )

    def evolve(self, table: Table, present: Present, record: Record, *, spelled: Spelled) -> Present:
        """Add and widen columns until the target holds every value of `table`; `Fatal` for what cannot follow."""
        new = _new(table, present, record, spelled=spelled)
        changed = False
        for column in table.columns:
            held = present.columns.get(column.name)
            if held is None:
                known_new = column.name in new
                self._add(present, column, spelled, filled=known_new and column.backfill is not None)
                changed = True
                known_null = known_new and column.backfill is None and column.nullable and not column.defaulted
                if record.columns and not known_null and (column.backfill is None or not known_new):
                    log.warning(
                        "the column %s was added to %s: rows from before have null in it, since the source does not"
                        " tell what value they have there%s; `tailrace verify --repair` brings it",
                        *(column.name, present),
                        "" if known_new else " (it may be an older one that was renamed, or left out)",
                    )
            elif not held.generated and column.native != "unknown":  # of which nothing but nulls came so far
                known = record.columns.get(column.name)
                if known != column.native:
                    # What was there before us takes anything as text; what followed a type before must follow it on.
                    taken = assignable if known is None else fitting
                    if not taken(column, held, spelled):
                        self._widen(table, present, column, spelled=spelled)
                        changed = True
                if column.nullable:
                    self.allow_null(present, held)
        ours = {column.name for column in table.columns} | self._constants.keys()
        for held in present.columns.values():
            if held.name not in ours and held.blocks and held.name in record.columns:
                self._drop_not_null(present, held)
        if not changed:
            return present
        found = find(self._connection, present.schema, present.table)
        assert found is not None
        return found

    def _add(self, present: Present, column: Column, spelled: Spelled, *, filled: bool) -> None:
        """Add a column, older rows `filled` with what they have in it at the source; else they can but have null."""
        doing = f"add the column {column.name} to {present}"
        type = self._definitions.read(spelled.of(column.native))
        run(self._connection, ddl.add_column(present.name, column, type, filled=filled), doing)
        self._comment(present.name, column)

    def _widen(self, table: Table, present: Present, column: Column, *, spelled: Spelled) -> None:
        """Make room for what the source's column may hold now."""
        held = present.columns[column.name]
        if not fits(held.base, spelled.base(column.native)):
            raise Fatal(message(table, present, column, spelled=spelled), hint=set_aside(table, present, column.name))
        type = self._definitions.read(spelled.of(column.native))
        doing = f"widen the column {column.name} of {present}"
        run(self._connection, ddl.widen_column(present.name, column.name, type), doing)

    def allow_null(self, present: Present, held: Held) -> None:
        """Drop NOT NULL where it stands and is not part of what identifies a row."""
        if held.not_null and not held.in_primary_key and not held.identity:
            self._drop_not_null(present, held)

    def _drop_not_null(self, present: Present, held: Held) -> None:
        doing = f"let the column {held.name} of {present} be null"
        run(self._connection, ddl.drop_not_null(present.name, held.name), doing)

    def _comment(self, name: sql.Composed, column: Column) -> None:
        if column.comment is not None:
            run(self._connection, ddl.comment_on_column(name, column.name, column.comment), f"comment on {column.name}")


def _new(table: Table, present: Present, record: Record, *, spelled: Spelled) -> Collection[str]:
    """The columns that are new at the source too, as far as rows from before are there."""
    types = {column.name: spelled.base(column.native) for column in table.columns}
    if not record.columns:
        return types
    lost = [spelled.base(native) for name, native in record.columns.items() if name not in types]
    return identity.added(table, present.columns, lambda name: any(fits(type, types[name]) for type in lost))
