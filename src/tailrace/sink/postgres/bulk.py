"""Moves the rows of whole segments: COPY straight into a table, or through a temporary one. Never looks at a row.

What it runs belongs to the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter

from psycopg import sql

from tailrace.dialect.postgres.session import Connection, statement_text
from tailrace.model import Batch, Table
from tailrace.sink.postgres import query
from tailrace.sink.postgres.stage import Stage, copy_into, lock
from tailrace.sink.postgres.target import Target

__all__ = ["Bulk", "Doubt"]

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


class Doubt(Exception):
    """The target does not have the rows that a set of changes expects: they must be applied one by one."""


class Bulk:
    """The temporary tables of one session; `targets` gives the target of a table version."""

    def __init__(self, connection: Connection, targets: Callable[[Table], Target]) -> None:
        self._connection = connection
        self._targets = targets
        self._stages: dict[int, Stage] = {}
        self._number = 0
        self._filled: set[int] = set()
        self._held: dict[int, list[str]] = {}
        """By table version, for tables that are locked by this transaction: what reads them in binary."""

    def insert(self, batch: Batch) -> None:
        """Add the rows of `batch`, inserts or those of a snapshot."""
        for table in batch.tables:
            target = self._targets(table)
            columns = [column.source for column in target.columns]
            constants = list(target.constants.values())
            rows = batch.copy_rows(table, columns, constants=constants, receivers=self._receivers(target))
            for binary, same in groupby(rows, key=itemgetter(1)):
                self._copy(copy_into(target, binary=binary), (part for part, *_ in same), binary=binary)

    def merge(self, part: Batch) -> int:
        """Apply changes of distinct keys; returns how many rows were missing: added now, or deleted before.

        `Doubt` when a missing row cannot be added, since not all of it was sent.
        """
        missing = 0
        for table in part.tables:
            target = self._targets(table)
            columns = [column.source for column in target.columns]
            receivers = [receiver for _, receiver in target.receivers.values()]  # the stage was made with these types
            rows = part.copy_rows(table, columns, receivers=receivers, staged=True)
            for data, binary, (inserts, updates, deletes), unsent in rows:
                stage = self._stage(target)
                self._copy(stage.copy(binary=binary), [data], binary=binary)
                # What is deleted or changed makes room for what is inserted: unique values are handed on.
                if deletes:
                    missing += deletes - self._run(stage.delete())
                if updates:
                    missing += self._update(stage, unsent, updates)
                if inserts:
                    self._run(stage.insert())
        return missing

    def committed(self) -> None:
        """Temporary tables are empty now."""
        self._filled.clear()
        self._held.clear()

    def roll_back(self) -> None:
        """Temporary tables that the transaction made are gone: make them all anew, under new names."""
        self._stages.clear()
        self._filled.clear()
        self._held.clear()

    def _receivers(self, target: Target) -> list[str]:
        """What reads the columns in binary; nothing when one has another type by now than when it was looked at.

        A newer version of the source's table, another member of our group or an operator may have changed it; text is
        read by whatever type there is, while bytes may be read as another value. Until the transaction ends nobody can.
        """
        version = target.source.version
        if version not in self._held:
            self._connection.execute(lock(target))
            params = {"relation": statement_text(target.name)}
            found: dict[str, str] = dict(self._connection.execute(query.load("types").encode(), params).fetchall())
            same = all(found.get(name) == type for name, (type, _) in target.receivers.items())
            self._held[version] = [receiver for _, receiver in target.receivers.values()] if same else []
        return self._held[version]

    def _update(self, stage: Stage, unsent: list[list[str]], updates: int) -> int:
        found = sum(self._run(stage.update(columns, place)) for place, columns in enumerate(unsent))
        if found == updates:
            return 0
        added = self._run(stage.add_missing())
        if found + added != updates:
            raise Doubt
        return added

    def _stage(self, target: Target) -> Stage:
        """An empty temporary table for `target`."""
        version = target.source.version
        stage = self._stages.get(version)
        if stage is None or stage.target is not target:
            self._number += 1
            stage = self._stages[version] = Stage(target, self._number)
            self._run(stage.create())
        elif stage.number in self._filled:
            self._run(stage.empty())
        self._filled.add(stage.number)
        return stage

    def _copy(self, statement: sql.Composed, parts: Iterable[bytes], *, binary: bool) -> None:
        with self._connection.cursor().copy(statement) as copy:
            if binary:
                copy.write(_HEADER)
            for part in parts:
                copy.write(part)
            if binary:
                copy.write(_TRAILER)

    def _run(self, statement: sql.Composed) -> int:
        return self._connection.execute(statement).rowcount
