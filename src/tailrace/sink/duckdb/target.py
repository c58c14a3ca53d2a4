"""Makes and evolves the target tables, and refuses what is not ours. Never touches a row that it may not.

A column that is missing is added, one that became wider is widened, one that the source dropped stays; any other
difference stops the pipeline before a row is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tailrace import identity
from tailrace.error import CheckFailed, Fatal
from tailrace.model import BESIDE, Finding, Severity, Table
from tailrace.sink.duckdb import backfill, sql
from tailrace.sink.duckdb.ledger import Ledger, Record
from tailrace.sink.duckdb.widen import fits

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Target", "Targets", "check_names", "check_places"]


_PADDED = re.compile(r"bpchar\((\d+)\)")
_APART = "give one of them another name with a rename transform, or another schema"


@dataclass(frozen=True, slots=True)
class Target:
    """One version of a source's table, and the table that holds it. Types are those of the target."""

    source: Table
    record: Record
    columns: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...]
    """Columns of the target that the source does not have (any more)."""
    later: tuple[str, ...] = ()
    """Of `extra`, those that the source's table has had since, where `source` is of a dead letter."""
    blanks: tuple[tuple[str, int], ...] = ()
    """Texts that are filled up with blanks, each to this length, unlike those of a dead letter."""

    @property
    def stored(self) -> tuple[tuple[str, str], ...]:
        """The columns that an insert fills from an Arrow stream: a log has more than its source."""
        return self.columns if self.record.key else (*self.columns, *sql.LOG)


class Targets:
    """The target tables of one pipeline. Every method runs in the transaction of its caller."""

    def __init__(
        self, connection: DuckDBPyConnection, ledger: Ledger, *, schemas: Mapping[str, str], existing: str
    ) -> None:
        self._connection = connection
        self._ledger = ledger
        self._schemas = schemas
        self._existing = existing
        self._records: dict[tuple[str, str], Record] | None = None
        self._ready: dict[tuple[str, str], Target] = {}
        self._turns: set[tuple[str, str, str | None]] = set()
        """What the ledger was told of columns: schema, name and columns of a target."""
        self._types: dict[str, str] = {}

    def roll_back(self) -> None:
        """Forget what a transaction that failed has seen."""
        self._records = None
        self._ready.clear()
        self._turns.clear()

    @property
    def filling(self) -> list[Record]:
        """Tables whose snapshot is not complete."""
        return [record for record in self._known().values() if record.filling]

    def prepare(self, table: Table, *, attempt: str | None = None, replayed: bool = False) -> Target:
        """The target of `table`, made or evolved to hold it; with a new snapshot `attempt`, made ready to be filled.

        A `replayed` version may be older than the one that came last: rows that are there are not changed for it.
        `Fatal` when it may not be touched or cannot follow; nothing was written then.
        """
        schema = self._schemas.get(table.schema, table.schema)
        ready = self._ready.get((schema, table.name))
        if ready is not None and identity.same(table, ready.source) and attempt in {None, ready.record.attempt}:
            return ready
        check_names(table)
        record = self._known().get(_fold(schema, table.name))
        fresh = attempt is not None and (record is None or record.attempt != attempt)
        filled = record is not None and not fresh
        place, held = (schema, table.name), None
        if record is not None and not fresh:
            place, held = (record.schema, record.name), record.source_oid
            _check_owner(table, record)
        oid = identity.keep(table, held, ".".join(place), anew=self._ledger.anew(*place))
        record, columns = self._own(
            table, Record(self._ledger.catalog, schema, table.name, table.key, False), record, fresh=fresh
        )
        if fresh:
            shared = record.shared and self._existing != "replace"
            record = self._begin(replace(record, attempt=attempt, shared=shared, staged=shared, filling=True))
        if (record.source_oid, record.source) != (oid, str(table)):
            record = replace(record, source_oid=oid, source=str(table))
            self.remember(record)
        if filled and record.key:
            there = [name for name, _ in columns.values()]
            identity.tell_of_returned(table, _known_columns(record), held=there, at=record.target)
        target = self._evolve(table, record, columns, filled=filled)
        if replayed and filled:
            target = _beside_later(target)
        else:
            record = self._pad(table, record)
        record = self._learn(table, record, in_order=not replayed)
        target = replace(target, record=record)
        if fresh and record.staged:
            self._connection.execute(sql.create_table(record.stage, target.stored))
        if not replayed:
            self._ready[schema, table.name] = target
        return target

    def _learn(self, table: Table, record: Record, *, in_order: bool) -> Record:
        """Remember the columns. Where several logs fill a table (a consumer group) its versions take turns, and one
        that comes again is not written again: what has no number tells no defaults, for which a new column must be
        known from a renamed one."""
        held = _known_columns(record)
        now = {column.name: self._canonical(column.duckdb) for column in table.columns}
        now |= {name: held[name] for name in _untyped(table) if name in held}
        columns = identity.remembered(held, now, in_order=in_order)
        if record.columns is not None and columns == held:
            return record
        record = replace(record, columns=json.dumps(columns))
        turn = record.schema, record.name, record.columns
        if table.oid is not None or turn not in self._turns:
            self._ledger.record(record)
            self._turns.add(turn)
        self._hold(record)
        return record

    def emptied(self, table: Table) -> Record | None:
        """The target of a table of which nothing is known but that it was emptied; None where none is ours. `Fatal`
        where it is another table's."""
        record = self._known().get(_fold(self._schemas.get(table.schema, table.schema), table.name))
        if record is not None:
            _check_owner(table, record)
        return record

    def remember(self, record: Record) -> None:
        """Keep `record` in place of what was known of its table."""
        self._ledger.record(record)
        self._hold(record)

    def _hold(self, record: Record) -> None:
        self._known()[_fold(record.schema, record.name)] = record
        self._ready.pop((record.schema, record.name), None)

    def _begin(self, record: Record) -> Record:
        """Clear what an earlier attempt left (I15), also of tables that have left the publication since."""
        for other in self.filling:
            if other.attempt != record.attempt:
                if other.shared or self._columns(other.schema, other.name):
                    self._clear(other)
                left = other.source_oid if other.shared else None  # else no row is
                source = other.source if other.shared else None
                self.remember(replace(other, staged=False, filling=False, source_oid=left, source=source))
        self._clear(record)
        self.remember(record)
        return record

    def _clear(self, record: Record) -> None:
        """The table if all of it is ours, else what waits beside others' rows."""
        gone = f"DROP TABLE IF EXISTS {record.stage}" if record.shared else f"TRUNCATE {record.target}"
        self._connection.execute(gone)

    def _own(
        self, table: Table, new: Record, record: Record | None, *, fresh: bool
    ) -> tuple[Record, dict[str, tuple[str, str]]]:
        """The record of the table and its columns; makes it where it is missing, refuses what is not ours."""
        columns = self._columns(new.schema, new.name)
        if record is not None and columns:
            if bool(record.key) != bool(new.key):
                was = "rows by key" if record.key else "a log of changes, without a key"
                raise Fatal(
                    f"{table} has {'a' if new.key else 'no'} key now, but {new.target} holds {was}",
                    hint=f"drop or rename {new.target}, then start again with a snapshot: tailrace reset",
                )
            if record.key != new.key:
                record = replace(record, key=new.key)
                self.remember(record)
            return record, columns
        if record is not None and not fresh:
            raise Fatal(
                f"the target table {new.target} of {table} is gone",
                hint="restore it, or start again with a snapshot: tailrace reset",
            )
        if columns and self._connection.execute(f"SELECT 1 FROM {new.target} LIMIT 1").fetchall():
            if self._existing == "refuse":
                raise Fatal(
                    f"the target table {new.target} holds rows that this pipeline did not write",
                    hint='set existing = "append" to keep them, or existing = "replace" to drop them',
                )
            if self._existing == "append":
                new = replace(new, shared=True)
            else:
                self._connection.execute(f"DROP TABLE {new.target}")
                columns = {}
        self.remember(new)
        return new, columns or self._create(table, new)

    def _create(self, table: Table, record: Record) -> dict[str, tuple[str, str]]:
        columns = [(column.name, column.duckdb) for column in table.columns]
        columns = columns if record.key else [*columns, *sql.LOG]
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.qualified(record.catalog, record.schema)}")
        self._connection.execute(sql.create_table(record.target, columns))
        return {name.lower(): (name, self._canonical(type)) for name, type in columns}

    def _evolve(self, table: Table, record: Record, present: Mapping[str, tuple[str, str]], *, filled: bool) -> Target:
        """Add and widen columns until the target holds every value of `table`."""
        wanted = [(column.name, self._canonical(column.duckdb)) for column in table.columns]
        untyped = _untyped(table)
        new = self._new(table, record, dict(wanted), present=present)
        columns = []
        for name, type in wanted if record.key else [*wanted, *sql.LOG]:
            held = present.get(name.lower())
            if held is None:
                self._add(table, record, name=name, type=type, filled=filled, new=name in new)
            elif name in untyped or fits(type, held[1]):
                type = held[1]
            elif fits(held[1], type):
                self._connection.execute(sql.widen_column(record.target, name, type))
            else:
                raise Fatal(
                    f"the column {name} of {table} is {type} now, but {held[1]} in {record.target}, which cannot hold"
                    " its values",
                    hint=_set_aside(table, record, held[0]),
                )
            columns.append((name, type))
        ours = {name.lower() for name, _ in columns}
        extra = tuple(column for folded, column in present.items() if folded not in ours)
        return Target(table, record, tuple(columns[: len(wanted)]), extra)

    def _new(
        self, table: Table, record: Record, wanted: Mapping[str, str], *, present: Mapping[str, tuple[str, str]]
    ) -> Collection[str]:
        """The columns that are new at the source too."""
        known = record.columns is not None
        before = json.loads(record.columns) if record.columns is not None else dict(present.values())
        lost = [type for name, type in before.items() if name not in wanted]
        held = [name for name in wanted if name.lower() in present]

        def may_become(name: str) -> bool:  # where only the target's types are known, these may be wider
            return any(fits(type, wanted[name]) or (not known and fits(wanted[name], type)) for type in lost)

        return identity.added(table, held, may_become)

    def _add(self, table: Table, record: Record, *, name: str, type: str, filled: bool, new: bool) -> None:
        """Add a column; rows that were `filled` in before it came have in it what they have at the source, where it is
        `new` there too."""
        value = None
        if filled and record.key:
            value = backfill.of_older_rows(self._connection, table, record, name=name, type=type, new=new)
        self._connection.execute(sql.add_column(record.target, name, type))
        if value is not None:
            self._connection.execute(sql.set_all(record.target, name, value))

    def _pad(self, table: Table, record: Record) -> Record:
        """Fill texts up with blanks, or take these away, where a char(n) became another text, or the other way.

        ALTER TABLE … TYPE does that to the rows of the source, of which no event tells; here they have one type.
        """
        lengths = {column.name: length for column in table.columns if (length := _blanks_to(column.type))}
        padded = json.dumps(lengths)
        if padded == record.padded:
            return record
        before = json.loads(record.padded) if record.padded is not None else lengths
        for name in (column.name for column in table.columns):
            if before.get(name) != lengths.get(name) and not record.shared:
                self._connection.execute(sql.fill_up(record.target, name, lengths.get(name, 0)))
        record = replace(record, padded=padded)
        self.remember(record)
        return record

    def extra(self, record: Record) -> list[tuple[str, str]]:
        """Columns of the target that the snapshot waiting beside it does not have."""
        stage = self._columns(*record.beside)
        return [column for folded, column in self._columns(record.schema, record.name).items() if folded not in stage]

    def _known(self) -> dict[tuple[str, str], Record]:
        if self._records is None:
            self._records = {_fold(record.schema, record.name): record for record in self._ledger.records()}
        return self._records

    def _columns(self, schema: str, name: str) -> dict[str, tuple[str, str]]:
        """Name and type of each column by its name in lower case (DuckDB ignores case); empty without a table."""
        rows = self._connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database() "
            "AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) ORDER BY column_index",
            [schema, name],
        ).fetchall()
        return {name.lower(): (name, type) for name, type in rows}

    def _canonical(self, type: str) -> str:
        """The type as DuckDB itself prints it."""
        if type not in self._types:
            [[canonical]] = self._connection.execute(f"SELECT typeof(NULL::{type})").fetchall()
            self._types[type] = str(canonical)
        return self._types[type]


def _known_columns(record: Record) -> dict[str, str]:
    """The columns that the source had last, each with its type, as far as that is known."""
    found: dict[str, str] = json.loads(record.columns) if record.columns is not None else {}
    return found


def _untyped(table: Table) -> set[str]:
    """Columns that had nothing but nulls so far."""
    return {column.name for column in table.columns if column.native == "unknown"}


def _beside_later(target: Target) -> Target:
    """The target of a version that may be older than what it holds: what is to be done to, or told of, its rows."""
    table, record = target.source, target.record
    known = _known_columns(record)
    later = tuple(name for name, _ in target.extra if name in known)
    padded = None if record.padded is None or record.shared else json.loads(record.padded)
    lengths = {column.name: _blanks_to(column.type) for column in table.columns if column.name in known}
    blanks = {} if padded is None else {name: padded.get(name, 0) for name in lengths}
    return replace(target, later=later, blanks=tuple((name, to) for name, to in blanks.items() if to != lengths[name]))


def _blanks_to(type: str) -> int:
    """The length to which a char(n) is filled up; 0 for other types."""
    match = _PADDED.fullmatch(type)
    return int(match[1]) if match else 0


def _fold(schema: str, name: str) -> tuple[str, str]:
    return schema.lower(), name.lower()


def _check_owner(table: Table, record: Record) -> None:
    """Two tables of the source in one would be taken for one another; one that has moved there keeps its number."""
    moved = table.oid is not None and table.oid == record.source_oid
    if record.source in {None, str(table)} or moved:
        return
    raise Fatal(
        f"{table} would be {record.target} in DuckDB, which holds {record.source}",
        hint=_APART + "; if the table has only moved at the source, start again with a snapshot: tailrace reset",
    )


def check_places(tables: Sequence[Table], schemas: Mapping[str, str]) -> Iterator[Finding]:
    """Tables that would be one in DuckDB."""
    taken: dict[tuple[str, str], Table] = {}
    for table in tables:
        other = taken.setdefault(_fold(schemas.get(table.schema, table.schema), table.name), table)
        if other is not table:
            message = f"it would be the same table as {other}: DuckDB ignores case"
            yield Finding(Severity.ERROR, f"table {table}", message, _APART)


def _set_aside(table: Table, record: Record, column: str) -> str:
    """What to do with a column that cannot follow."""
    if column.lower() in {name.lower() for name in table.key}:
        rename = sql.rename_table(record.target, f"{record.name}_before")
        return f"{rename}; then, as the column is of the key, start with a new snapshot: tailrace reset"
    return (
        f"{sql.rename_column(record.target, column, f'{column}_before')}; then the column is added with its new type."
        " If the same is said again, rows from before the change still wait in the log, and only a new snapshot is"
        " left: tailrace reset"
    )


def check_names(table: Table) -> None:
    """Refuse (`CheckFailed`) columns that DuckDB, which ignores case, would take for one another or for ours."""
    seen: dict[str, str] = {}
    for name in (column.name for column in table.columns):
        folded = name.lower()
        if folded in BESIDE:
            why = "" if name == folded else ", since DuckDB ignores case"
            wrong = f"the column {name} of {table} has the name of Tailrace's own column {folded} in DuckDB{why}"
        elif folded in seen:
            wrong = f"DuckDB takes the column {name} of {table} for its column {seen[folded]}: it ignores case"
        else:
            seen[folded] = name
            continue
        hint = f'give it another name with a transform: kind = "rename", names = {{"{table}.{name}" = "…"}}'
        if name not in table.key:
            hint += f'; or leave it out: kind = "select", exclude_columns = ["{table}.{name}"]'
        raise CheckFailed(wrong, hint=hint)
