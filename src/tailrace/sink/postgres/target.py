"""Finds, makes and evolves the table that holds a source's table, and refuses what is not ours. Never drops one.

A column that is missing is added, one that became wider is widened, one that the source dropped stays and may be null;
any other difference stops the pipeline before a row is touched. What it runs belongs to the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from psycopg import sql

from tailrace import identity
from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import Fatal
from tailrace.model import Table
from tailrace.sink.postgres import ddl, query
from tailrace.sink.postgres.clearing import Clearing
from tailrace.sink.postgres.column import Columns
from tailrace.sink.postgres.definition import Definitions, Spelled
from tailrace.sink.postgres.present import Present, find
from tailrace.sink.postgres.record import Record, Records

__all__ = ["Placing", "Target", "TargetColumn", "Targets", "nothing_to_write"]

_TABLES = frozenset(("r", "p"))


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column that is written: its name in the source, its name in the target, the target's type as SQL."""

    source: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Target:
    """One version of a source's table, and the table that holds its rows.

    `columns` are in the order of the source; those that are generated on either side are left out. `key` has names of
    the target, those of `constants` included; it is empty when rows have no key. `constants` are the columns that tell
    the rows of this pipeline from those of others, with the text of their value.
    """

    source: Table
    name: sql.Composed
    columns: tuple[TargetColumn, ...]
    key: tuple[str, ...]
    constants: Mapping[str, str] = field(default_factory=dict)
    equals: Mapping[str, str] = field(default_factory=dict)
    """By which operators values of `key` are equal."""
    receivers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Of `columns`, then of `constants`: the type that was found, and the function that reads its binary form."""
    extra: bool = False
    """The target has columns besides, with cells that are not to be lost."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Where tables go: `schema` maps those of the source to those of the target; `constants` are columns that the
    target has besides, with their values; `existing` says what to do with rows that this pipeline did not write."""

    schema: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    existing: str = "refuse"

    def of(self, table: Table) -> tuple[str, str]:
        """Schema and name of the target."""
        return self.schema.get(table.schema, table.schema), table.name


class Targets:
    """The target tables of one pipeline. Every method runs in the transaction of its caller; labels of enums are added
    through a session `beside` it."""

    def __init__(
        self,
        connection: Connection,
        pipeline: str,
        placing: Placing,
        *,
        beside: Callable[[], AbstractContextManager[Connection]],
    ) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._placing = placing
        self._records = Records(connection, pipeline)
        self._definitions = Definitions(connection, beside)
        self._columns = Columns(connection, self._definitions, placing.constants)
        self._clearing = Clearing(connection, pipeline, placing.constants)
        self._ready: dict[tuple[str, str], tuple[Target, bool]] = {}
        self._sources: dict[tuple[str, str], str] = {}

    def roll_back(self) -> None:
        """Forget what a transaction that failed has seen."""
        self._ready.clear()
        self._records.roll_back()

    @property
    def waits(self) -> bool:
        """A snapshot has begun and is not known to be complete."""
        return bool(self._records.incomplete())

    def prepare(self, table: Table, *, attempt: str | None = None, replayed: bool = False) -> Target:
        """The target of `table`; with a new snapshot `attempt`, made ready to be filled (I15). A `replayed` version may
        be older than the one that came last.

        Returns the same object as long as nothing about it has changed. `Fatal` when the target may not be touched or
        cannot follow; no row was touched then.
        """
        if not table.columns:
            raise nothing_to_write(table)
        place = self._placing.of(table)
        record = self._records.get(*place)
        fresh = attempt is not None and (record is None or record.attempt != attempt)
        staged = attempt is not None and record is not None and record.shared
        ready = self._ready.get(place)
        if ready is not None and not fresh and ready[1] == staged and identity.same(table, ready[0].source):
            return ready[0]
        self._take_turns(place)
        record = self._records.get(*place)
        self._check_place(table, place, None if record is None or fresh else record.source)
        held = None if record is None or fresh else record.source_oid
        oid = identity.keep(table, held, ".".join(place), anew=self._records.anew(*place))
        spelled = self._definitions.prepare(table)
        present, record = self._own(table, record, spelled, fresh=fresh)
        if not fresh:
            identity.tell_of_returned(table, record.columns, held=present.columns, at=str(present))
        present = self._columns.evolve(table, present, record, spelled=spelled)
        columns: Mapping[str, str] = {column.name: column.native for column in table.columns}
        if not (replayed and record.shared and not record.complete):
            columns = identity.remembered(record.columns, columns, in_order=not replayed)
        else:
            columns = record.columns  # those of the snapshot that waits
        record = replace(record, key=table.key, columns=columns, source=str(table), source_oid=oid)
        if fresh and attempt is not None:
            record = self._begin(record, present, attempt)
        self._records.put(record)
        staged = attempt is not None and record.shared
        target = self._target(table, present, stage=self._clearing.stage(present) if staged else None)
        self._ready[place] = target, staged
        return target

    def emptied(self, table: Table) -> Target | None:
        """The target of a table of which nothing is known but that it was emptied; None where none is ours. `Fatal`
        where it is another table's."""
        place = self._placing.of(table)
        record = self._records.get(*place)
        if record is None:
            return None
        self._check_place(table, place, record.source)
        present = find(self._connection, record.schema, record.name)
        return None if present is None else self._target(table, present, stage=None)

    def allow_null(self, place: tuple[str, str], column: str) -> None:
        """Let a column of a target that was prepared be null, unless it is none that the source writes."""
        ready = self._ready.get(place)
        if ready is not None and any(column == written.name for written in ready[0].columns):
            present = find(self._connection, *place)
            if present is not None:
                self._columns.allow_null(present, present.columns[column])

    def lacks(self, table: Table) -> int:
        """How many attributes a composite type of `table`, which was prepared, has yet to get at the target."""
        return self._definitions.lacks(table)

    def grow(self, table: Table) -> None:
        """A value of `table` has an attribute that its type lacks: give it the next one."""
        self._definitions.grow(table)

    def complete(self) -> None:
        """The snapshot is complete, and the first changes behind it come: what waited beside tables goes in."""
        for record in self._records.incomplete():
            if record.attempt is not None and record.shared:
                self._ready.pop((record.schema, record.name), None)
                present = find(self._connection, record.schema, record.name)
                if present is not None:
                    key = (*self._placing.constants, *record.key) if record.key else ()
                    self._clearing.merge(present, list(record.columns), key)
            self._records.put(replace(record, complete=True))

    def _take_turns(self, place: tuple[str, str]) -> None:
        """Until the transaction ends no other member of our group makes or changes a table, and what they have made
        of this one before is seen."""
        fetch(self._connection, query.load("turn"), {"pipeline": self._pipeline}, doing="wait for other members")
        self._records.read_again(*place)

    def _check_place(self, table: Table, place: tuple[str, str], owner: str | None) -> None:
        """Two tables of the source in one would be taken for one another; `owner` has filled it before this process."""
        owner = self._sources.setdefault(place, owner or str(table))
        if owner != str(table):
            raise Fatal(
                f"{table} would be {'.'.join(place)} at the target, which holds {owner}",
                hint="give one of them another name with a rename transform, or another schema; if the table has only"
                " moved at the source, start again with a snapshot: tailrace reset",
            )
        for constant in self._placing.constants:
            if any(column.name == constant for column in table.columns):
                raise Fatal(
                    f"{table} has a column {constant}, which is a constant of the sink too",
                    hint="give one of them another name",
                )

    def _own(self, table: Table, record: Record | None, spelled: Spelled, *, fresh: bool) -> tuple[Present, Record]:
        """The table at the target and what is known of it; makes it where it is missing, refuses what is not ours."""
        schema, name = self._placing.of(table)
        present = find(self._connection, schema, name)
        if present is None and record is not None and not fresh:
            raise Fatal(
                f"the target table {schema}.{name} of {table} is gone",
                hint="restore it, or start again with a snapshot: tailrace reset",
            )
        if present is None:
            fetch(self._connection, ddl.TURN, doing="wait for other pipelines")
            present = find(self._connection, schema, name)
        if present is None:
            present = self._columns.create(table, (schema, name), spelled)
            return present, Record(schema, name, table.key, {c.name: c.native for c in table.columns})
        if present.kind not in _TABLES:
            raise Fatal(f"{schema}.{name}, the target of {table}, is not a table", hint="rename what has its name")
        if record is not None:
            self._columns.check_key(table, present, record.key)
            return present, record
        self._columns.check(table, present, spelled)
        record = Record(schema, name, table.key, {})
        if self._clearing.holds_rows(present):
            if self._placing.existing == "refuse":
                ours = " for this pipeline's constants" if self._placing.constants else ""
                raise Fatal(
                    f"the target table {schema}.{name} holds rows{ours} that this pipeline did not write",
                    hint='set existing = "append" to keep them, or existing = "replace" to remove them',
                )
            if self._placing.existing == "append":
                return present, replace(record, shared=True)
            self._clearing.clear(present)
        return present, record

    def _begin(self, record: Record, present: Present, attempt: str) -> Record:
        """Clear what an earlier attempt left (I15): of this table, and of those that an attempt did not finish."""
        for other in self._records.incomplete():
            if other.attempt == attempt or (other.schema, other.name) == (record.schema, record.name):
                continue
            left = find(self._connection, other.schema, other.name)
            if left is not None:
                self._clearing.forget(left, shared=other.shared)
            self._records.put(
                replace(other, attempt=None, complete=True, source_oid=other.source_oid if other.shared else None)
            )
        record = replace(record, attempt=attempt, complete=False)
        if record.shared and self._placing.existing == "replace":
            record = replace(record, shared=False)
        if record.shared:
            self._clearing.make_stage(present, list(record.columns))
        else:
            self._clearing.clear(present)
        return record

    def _target(self, table: Table, present: Present, *, stage: sql.Composed | None) -> Target:
        written = [(c.name, present.columns[c.name]) for c in table.columns]
        columns = tuple(TargetColumn(name, held.name, held.type) for name, held in written if not held.generated)
        if table.columns and not columns:
            raise nothing_to_write(table)
        key = (*self._placing.constants, *table.key) if table.key else ()
        constants = dict(self._placing.constants)
        all_names = (*(column.name for column in columns), *constants)
        held_columns = [present.columns[name] for name in all_names if name in present.columns]
        receivers = {held.name: (held.type, held.receiver) for held in held_columns}
        equals = {held.name: held.equals for held in held_columns}
        named = {column.name for column in table.columns} | set(constants)
        extra = any(name not in named and not held.generated for name, held in present.columns.items())
        return Target(table, stage or present.name, columns, key, constants, equals, receivers, extra)


def nothing_to_write(table: Table) -> Fatal:
    """What is said of a table whose rows cannot be written."""
    return Fatal(
        f"{table} has no column that could be written at the target",
        hint="leave it out of the source's tables, or with a select transform",
    )
