"""Writes batches into DuckDB, each in one transaction with its positions. Never holds rows in Python.

The rows of a segment go through one temporary table, since an Arrow stream can be read once: the keys are deleted from
the target, then the rows inserted. No index is kept: docs/design tells what was measured.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tailrace import durable
from tailrace._native import ArrowStream, BatchBuilder
from tailrace.error import Fatal, Reject, Retryable
from tailrace.model import Batch, Change, Position, SnapshotMark, Table
from tailrace.sink.duckdb import sql
from tailrace.sink.duckdb.breaking import Breaker
from tailrace.sink.duckdb.connection import connect, explained
from tailrace.sink.duckdb.constraint import Broken, find
from tailrace.sink.duckdb.ledger import Ledger, Record
from tailrace.sink.duckdb.target import Target, Targets

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DuckDBWriter"]

log = logging.getLogger(__name__)

_OTHERS = (
    "put it back as it was and start again, or `tailrace reset` to fill a new one with a snapshot; stop the pipeline"
    " before the file is moved"
)


class _Tried(Exception):
    """All of it went in: it is rolled back now."""


class DuckDBWriter:
    """An open DuckDB sink and its `Positions`. Used by the writer thread; `claim` and `known` come before any batch."""

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        schemas: Mapping[str, str],
        existing: str,
        memory_limit: str,
        threads: int,
        stop_timeout_s: float,
    ) -> None:
        self._path = path
        durable.make_folder(path.absolute().parent)
        self._connection: DuckDBPyConnection | None = connect(path, memory_limit=memory_limit, threads=threads)
        self._ledger = Ledger(self._connection, name)
        self._targets = Targets(self._connection, self._ledger, schemas=schemas, existing=existing)
        self._saved: dict[str, Position] = {}
        self._replays = False
        """What is written now are dead letters."""
        self._older: list[tuple[int, str, str]] = []
        """Of the transaction: how many dead letters, for which target, are from before it had which columns."""
        with self._transaction():
            self._ledger.create()
        self._place = path.absolute()  # the program may change its working directory
        self._file: int | None = durable.watch(self._place)
        self._breaker = Breaker(self._connection, path, timeout_s=stop_timeout_s)

    def known(self) -> Mapping[str, Position | None]:
        """Every lineage that this pipeline claimed in the file, with its position."""
        with self._transaction():
            return self._ledger.positions()

    def claim(self, lineage: str) -> Position | None:
        """Record a new epoch for `lineage` in the file; return its position."""
        with self._transaction():
            epoch = self._ledger.claim(lineage)
            position = self._ledger.positions()[lineage]
        self._ledger.hold(lineage, epoch)
        if position is not None:
            self._saved[lineage] = position
        return position

    def save(self, positions: Sequence[Position]) -> None:
        """Does nothing: `write` saved them with the rows."""

    def move(self, lineage: str, position: Position) -> None:
        """Carry what is saved over to another lineage, which is claimed with it."""
        with self._transaction():
            epoch = self._ledger.move(lineage, position)
        self._ledger.hold(position.lineage, epoch)

    def forget(self) -> None:
        """Remove every claim and position. Tables stay; the next snapshot clears them."""
        with self._transaction():
            self._ledger.forget()

    def close(self) -> None:
        """Close the file; closing twice is harmless (I12)."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            finally:
                self._breaker.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def interrupt(self) -> None:
        """Break off, `stop_timeout_s` from now, what still runs then, statement by statement: nothing of its batch
        stays."""
        self._breaker.ask()

    def write(self, batch: Batch) -> None:
        """Make the rows and the positions of `batch` durable in one transaction; on any failure none of them are.

        `Reject` for a change that the target cannot hold, the first one where a constraint refuses it. `Fatal` when the
        file is no longer at its path, where the next start looks for the position.
        """
        if self._file is not None:
            durable.require_there(self._place, self._file, hint=_OTHERS)
        try:
            with self._transaction():
                self._take(batch)
        except Broken as broken:
            raise find(batch, broken, breaks=self._breaks) from None
        self._tell_of_older()
        self._saved.update((position.lineage, position) for position in batch.positions)

    def _tell_of_older(self) -> None:
        for older in self._older:
            log.warning(
                "%d dead letter(s) for %s are from before it had %s, and their rows were not there: they have null in"
                " that, also where the source gave them a default; `tailrace verify --repair` brings it",
                *older,
            )

    def _take(self, batch: Batch) -> None:
        self._older = []
        if batch.snapshot is not None:
            self._load(batch, batch.snapshot)
        elif any(self._saved.get(position.lineage) != position for position in batch.positions):
            if self._targets.filling:
                self._end_snapshot()
            self._change(batch)
        elif batch:
            self._replay(batch)
        self._ledger.save(batch.positions)

    def _breaks(self, batch: Batch) -> bool:
        """Whether a constraint refuses `batch`; nothing of it stays."""
        try:
            with self._transaction():
                self._take(batch)
                raise _Tried
        except _Tried:
            return False
        except Broken:
            return True

    def forget_replayed(self, positions: Sequence[Position]) -> None:
        """See `Replaying`."""
        with self._transaction():
            self._ledger.forget_replayed(positions)

    def _change(self, batch: Batch) -> None:
        if all(table.columns for table in batch.tables):
            self._change_all(batch)
            return
        # What tells no column may be a TRUNCATE of a table whose rows come before and behind it.
        for _, run in groupby(enumerate(batch), lambda item: bool(item[1].table.columns)):
            part = batch.only([index for index, _ in run])
            with _indexes_of(batch, part):
                self._change_all(part)

    def _change_all(self, batch: Batch) -> None:
        """Each version of a table is prepared when its first rows come: rows of the one before are there then."""
        self._append(batch)
        self._upsert(batch)

    def _replay(self, batch: Batch) -> None:
        """Dead letters, save those that were written before a crash; that these are is remembered in turn."""
        written = self._ledger.replayed()
        fresh = batch.without([index for index, change in enumerate(batch) if change.position in written])
        self._replays = True
        try:
            with _indexes_of(batch, fresh):
                self._change(fresh)
        finally:
            self._replays = False
        self._ledger.remember_replayed([change.position for change in fresh])

    def _load(self, batch: Batch, mark: SnapshotMark) -> None:
        """Snapshot rows: nothing of theirs is in the target, which was cleared when the attempt began."""
        for table in batch.tables or ((mark.table,) if mark.table else ()):
            target = self._targets.prepare(table, attempt=mark.attempt)
            into = target.record.stage if target.record.staged else target.record.target
            if batch:
                self._read(batch.arrow(table), sql.insert(into, target.stored, sql.INCOMING), rows=len(batch))

    def _end_snapshot(self) -> None:
        """The snapshot is complete: what waited beside tables with others' rows goes in."""
        for record in self._targets.filling:
            if record.staged:
                self._merge(record)
            self._targets.remember(replace(record, staged=False, filling=False))

    def _merge(self, record: Record) -> None:
        extra = self._targets.extra(record)
        if record.key:
            for statement in sql.keep(record.target, record.stage, key=record.key, extra=extra) if extra else ():
                self._execute(statement)
            self._execute(sql.delete(record.target, record.stage, record.key))
        self._execute(f"INSERT INTO {record.target} BY NAME FROM {record.stage}")
        self._execute(f"DROP TABLE {record.stage}")

    def _append(self, batch: Batch) -> None:
        """Changes of tables without a key: one row each."""
        if all(table.key for table in batch.tables):
            return
        for segment in batch.segments():
            for table in segment.tables:
                if not table.key and not self._emptied(segment, table):
                    target = self._targets.prepare(table, replayed=self._replays)
                    with _indexes_of(batch, segment):
                        self._read(segment.arrow(table), sql.insert(target.record.target, target.stored, sql.INCOMING))

    def _emptied(self, segment: Batch, table: Table) -> bool:
        """Whether nothing is known of a table but that it was emptied, and its target, which has a key or is not there,
        is empty now."""
        if table.columns or any(change.op != "t" for change in segment if change.table == table):
            return False
        record = self._targets.emptied(table)
        if record is not None and record.key:
            self._execute(f"TRUNCATE {record.target}")
        return record is None or bool(record.key)

    def _upsert(self, batch: Batch) -> None:
        """Changes of tables with a key, folded to one a key."""
        if not any(table.key for table in batch.tables):
            return
        for segment in batch.latest().segments():
            for table in segment.tables:
                if table.key:
                    with _indexes_of(batch, segment):
                        self._apply(segment, table)

    def _apply(self, segment: Batch, table: Table) -> None:
        """One part of a folded batch: changes of distinct keys, or a TRUNCATE, or an update of a key."""
        # Made for an equal table, maybe: what is read is this one.
        target = self._targets.prepare(table, replayed=self._replays)
        record = target.record
        first = segment[0]
        if first.op == "t":
            self._execute(f"TRUNCATE {record.target}")
            return
        moved = len(segment) == 1 and _moves(first)
        if moved:
            cells = [(name, type) for name, type in target.columns if name in table.key]
            self._read(_old_key(first), sql.select_into(sql.MOVED, cells))
        self._read(segment.arrow(table), sql.stage(target.columns, target.extra), rows=len(segment))
        for name, length in target.blanks:
            for source in (sql.MOVED, sql.STAGE) if moved and name in table.key else (sql.STAGE,):
                self._execute(sql.fill_up(source, name, length))
        self._note_later(target, moved=moved)
        self._fill(target, moved=moved)
        for source in (sql.MOVED, sql.STAGE) if moved else (sql.STAGE,):
            self._execute(sql.delete(record.target, source, table.key))
        self._execute(sql.insert(record.target, (*target.columns, *target.extra), sql.STAGE, where="_op <> 'd'"))

    def _note_later(self, target: Target, *, moved: bool) -> None:
        """Note which cells of dead letters are not known: the letter is older than the column, and there is no row that
        has got a value since. It is told once it is written: a part may be tried several times."""
        if not target.later:
            return
        new = sql.unmatched(target.record.target, sql.MOVED if moved else sql.STAGE, target.source.key)
        [[rows]] = self._execute(new if moved else f"{new} AND s._op <> 'd'").fetchall()
        if rows:
            self._older.append((rows, target.record.target, ", ".join(target.later)))

    def _fill(self, target: Target, *, moved: bool) -> None:
        """Give staged rows what was not sent; `Reject` for those that the target has no row to take it from."""
        [[unchanged]] = self._execute(f"SELECT list_distinct(flatten(list(_unchanged))) FROM {sql.STAGE}").fetchall()
        if not unchanged and not target.extra:
            return
        fill = sql.fill(target.record.target, target.source.key, moved=moved, unchanged=unchanged, extra=target.extra)
        self._execute(fill)
        lost = self._execute(f"SELECT _index FROM {sql.STAGE} WHERE _unchanged IS NOT NULL AND _op <> 'd'").fetchall()
        if lost:
            reason = f"the update did not send all columns, and {target.record.target} has no row to take them from"
            raise Reject({int(index): reason for (index,) in lost})

    def _read(self, stream: ArrowStream, statement: str, *, rows: int | None = None) -> None:
        """Run a statement that reads `stream` as the table `INCOMING`; `Reject` for what Arrow cannot hold.

        Fails if DuckDB did not take as many rows as were sent: none is skipped in silence (I10).
        """
        import duckdb

        connection = self._open()
        connection.register(sql.INCOMING, stream)
        try:
            [[taken]] = connection.execute(statement).fetchall()
        except duckdb.Error:
            stream.raise_reject()
            raise
        finally:
            with contextlib.suppress(duckdb.TransactionException):  # Refused in a transaction that has failed.
                connection.unregister(sql.INCOMING)
        if rows not in {None, taken}:
            raise Fatal(f"DuckDB took {taken} of {rows} rows for {self._path}", hint="this is a bug: please report it")

    def _execute(self, statement: str) -> DuckDBPyConnection:
        return self._open().execute(statement)

    def _open(self) -> DuckDBPyConnection:
        if self._connection is None:
            raise Retryable(f"{self._path} is closed", hint="it is opened again after a pause")
        return self._connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block, or nothing; DuckDB's errors become ours."""
        import duckdb

        connection = self._open()
        with explained(self._path):
            connection.begin()
            try:
                yield
                connection.commit()
            except BaseException:
                self._targets.roll_back()
                with contextlib.suppress(duckdb.Error):  # A commit that failed has rolled back already.
                    connection.rollback()
                raise


@contextlib.contextmanager
def _indexes_of(batch: Batch, part: Batch) -> Iterator[None]:
    """A `Reject` of changes of `part`, which was made of `batch`, names their indexes in `batch`."""
    try:
        yield
    except Reject as reject:
        reasons = {part[index].position: reason for index, reason in reject.reasons.items()}
        found = {index: reasons[change.position] for index, change in enumerate(batch) if change.position in reasons}
        raise Reject(found) from None


def _moves(change: Change) -> bool:
    """Whether an update gave its row another key, to the letter: DuckDB keeps as text what Python takes for equal."""
    before, after = change.before, change.after
    if change.op != "u" or before is None or after is None:
        return False
    return any(before.text(name) != after.text(name) for name in change.table.key)


def _old_key(change: Change) -> ArrowStream:
    """The key that the row had, typed as the table's key is."""
    assert change.before is not None
    builder = BatchBuilder(change.position.lineage)
    builder.begin(xid=0, lsn=0, committed_at_us=0)
    builder.add("d", change.table, before={name: change.before.text(name) for name in change.table.key})
    builder.commit()
    return builder.take().arrow(change.table)
