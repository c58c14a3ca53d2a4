"""Carries out a batch in one transaction with its positions. Knows paths, not grammar: that is in `statements.py`.

The position is moved first: the lock on its row keeps two writers apart, and nothing behind it is carried out when the
epoch is over.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice

import psycopg
from psycopg import errors

from tailrace.dialect.postgres.session import Connection
from tailrace.error import Fenced, Reject, Retryable, TailraceError
from tailrace.model import Batch, Table
from tailrace.sink.postgres.bulk import Bulk, Doubt
from tailrace.sink.postgres.ledger import MOVE, MOVE_MARKED, Ledger
from tailrace.sink.postgres.piece import pieces
from tailrace.sink.postgres.pipe import Failure, Pipe
from tailrace.sink.postgres.refusal import (
    GENERATED_ALWAYS,
    NOT_FOUND,
    UNREADABLE,
    concerns_rows,
    counts_alone,
    reason,
)
from tailrace.sink.postgres.rows import Rows, Statement
from tailrace.sink.postgres.stage import Stage
from tailrace.sink.postgres.standing import Standing
from tailrace.sink.postgres.target import Target, Targets, nothing_to_write

__all__ = ["Applier", "around_truncates"]

_OUTDATED = frozenset(("42804", "42883", "0A000"))
"""Statements and temporary tables that were made for a column's type of before: `datatype_mismatch`, no operator for
it, and "cached plan must not change result type"."""
ROWS_MAX = 100
"""Changes that go as statements; more go as sets. docs/design/0010 has the measurements."""
WIDE_NBYTES = 4096
"""Bytes of a change from which, on average, more go as statements too: a set writes each value twice."""
_CHUNK = 100
"""Changes behind one savepoint, while those are looked for that are refused."""
_NOBODY, _POSITION = -1, -2
"""In place of a change's index: the statement belongs to none, or moves a position."""
_ADDS, _REMOVES = 1, 2
"""What the count of a statement says: rows that were missing, or the row that was removed."""


class Applier:
    """Applies batches on one session. An error leaves nothing of the batch behind."""

    def __init__(self, connection: Connection, ledger: Ledger, targets: Targets, *, standing: Standing) -> None:
        self._connection = connection
        self._ledger = ledger
        self._targets = targets
        self._standing = standing
        self._ready: dict[int, Target] = {}
        """Targets that need no statement any more, by the version of their table."""
        self._untold: dict[int, Target | None] = {}
        """Likewise of tables whose columns nobody told."""
        self._receivers: dict[tuple[str, str], Mapping[str, tuple[str, str]]] = {}
        """The types that a table's statements were prepared with."""
        self._rows = Rows(self._target, self._emptied)
        self._pipe = Pipe(connection)
        self._bulk = Bulk(connection, self._target)
        self._nulls: set[tuple[str, str, str]] = set()
        """Columns (schema, table, name at the target) that refused a null which the source has sent."""
        self._growth: list[int] = []
        """Changes of the batch before which a composite type gets its next attribute."""
        self._missing = 0
        self._aged = False
        """Changes were applied: the source read its types a while ago, and is not told of a label that an enum gets."""
        self._sent, self._what = array("q"), array("b")
        """What was sent since the last answers: the index of a change or a mark, and what its count says."""
        self.marked = False
        """Whether writes carry a replication origin."""
        self.missing = 0
        """Rows that a change expected and the target did not have: added, or deleted already."""

    def apply(self, batch: Batch) -> None:
        """Apply and commit `batch`.

        `Reject` names the change that is refused, `Fenced` says that the claim is over; errors of psycopg are about the
        session or the server.
        """
        try:
            self._apply(batch, careful=False)
        except (psycopg.Error, Doubt) as error:
            if isinstance(error, psycopg.Error) and not concerns_rows(error):
                if error.sqlstate not in _OUTDATED:
                    raise
                # Another member of our group has widened a column; what we know of the table is forgotten by now.
                self._carefully(batch)
                return
            if self._refuses_null(error):
                self.apply(batch)
                return
        else:
            return
        # Values were refused. Change by change, in the order of the source, is right for every constraint, and finds
        # the change to blame.
        self._carefully(batch)

    def _carefully(self, batch: Batch, *, replayed: bool = False) -> None:
        """As `_apply`, again whenever it was found before which change a type has to grow."""
        self._growth.clear()
        while True:
            try:
                self._apply(batch, careful=True, replayed=replayed)
            except Doubt:
                continue
            return

    def _grows(self, batch: Batch, change: int) -> bool:
        """Whether the value that could not be read may have an attribute that its composite type lacks at the target.

        ALTER TYPE … ADD ATTRIBUTE is not in the log. Values from before it have fewer attributes, so the type may not
        grow before the first one that has more.
        """
        if change < 0 or not self._targets.lacks(batch[change].table):
            return False
        self._growth.append(change)
        return True

    def _refuses_null(self, error: Exception) -> bool:
        """Whether a column refused a null for the first time: it allows them in the next attempt.

        The log does not tell of DROP NOT NULL, and a null may be older than the SET NOT NULL that the catalog shows.
        """
        if not isinstance(error, errors.NotNullViolation):
            return False
        named = (error.diag.schema_name, error.diag.table_name, error.diag.column_name)
        schema, table, column = (name or "" for name in named)
        known = (schema, table, column) in self._nulls
        self._nulls.add((schema, table, column))
        return not known

    def replay(self, batch: Batch) -> None:
        """As `apply`, for dead letters: those that were written before a crash are left out, the others remembered."""
        written = self._ledger.replayed()
        kept = [index for index, change in enumerate(batch) if change.position not in written]
        try:
            self._carefully(batch.only(kept), replayed=True)
        except Reject as reject:
            raise Reject({kept[index]: why for index, why in reject.reasons.items()}) from None

    def _apply(self, batch: Batch, *, careful: bool, replayed: bool = False) -> None:
        """One transaction; whatever ends it early rolls it back."""
        self._missing = 0
        try:
            for first, piece in self._prepared(batch, replayed=replayed):
                if piece.snapshot is not None and not careful:
                    self._load(piece)
                elif careful or len(piece) <= ROWS_MAX or not self._standing.replica:
                    self._by_rows(piece, first=first, careful=careful)
                else:
                    self._in_bulk(piece)
            if replayed:
                self._finish()
                self._ledger.remember_replayed([change.position for change in batch])
            self._send(b"COMMIT")
            self._finish()
        except Failure as failure:
            meant = self._meant(batch, failure, careful=careful)
            self._roll_back()
            if isinstance(meant, Reject) and self._sent[failure.index] >= 0:
                meant = Reject(self._blame(batch) or meant.reasons)
            raise meant from None
        except (psycopg.Error, TailraceError, Doubt) as error:
            self._roll_back()
            if isinstance(error, Reject) and not careful:
                raise Doubt from None  # it may name a change of a part
            raise
        except BaseException:
            self._connection.close()  # in whatever state it is: the transaction ends with it
            raise
        self._aged = self._aged or len(batch) > 0
        self._nulls.clear()
        self._untold.clear()
        self._bulk.committed()
        self._ledger.hold(batch.positions)
        self.missing += self._missing
        if batch.snapshot is not None:
            self._ready.clear()  # the changes behind a snapshot may go elsewhere than its rows

    def _blame(self, batch: Batch) -> dict[int, str]:
        """Every change that is refused: parked one by one, many would cost as many transactions. Applies nothing."""
        reasons: dict[int, str] = {}
        try:
            for first, piece in self._prepared(batch):
                statements = self._rows.statements(piece, merge=batch.snapshot is None, first=first)
                while chunk := list(islice(statements, _CHUNK)):
                    while (refused := self._try(chunk)) is not None:
                        index, error = refused
                        table = batch[index].table
                        reasons[index] = reason(error, self._ready.get(table.version), table)
                        chunk = [statement for statement in chunk if statement.index != index]
        except Failure as failure:
            raise self._meant(batch, failure, careful=False) from None
        finally:
            self._roll_back()
        return reasons

    def _try(self, chunk: Sequence[Statement]) -> tuple[int, psycopg.Error] | None:
        """Apply statements whole, or not at all: then which change was refused, and why."""
        self._finish()
        self._send(b"SAVEPOINT tailrace")
        for statement in chunk:
            self._send(statement.text, statement.params, index=statement.index)
        self._send(b"RELEASE SAVEPOINT tailrace")
        try:
            self._pipe.finish(undo=b"ROLLBACK TO SAVEPOINT tailrace; RELEASE SAVEPOINT tailrace")
        except Failure as failure:
            index = self._sent[failure.index]
            if index < 0 or not concerns_rows(failure.error):
                raise failure.error from None
            return index, failure.error
        return None

    def _prepared(self, batch: Batch, *, replayed: bool = False) -> Iterator[tuple[int, Batch]]:
        """Begin, and go through the pieces of `batch`: each has the tables that it was written to."""
        (_, first), *later = cut = pieces(batch) or [(0, batch)]
        self._begin(batch, first.tables, replayed=replayed)
        yield cut[0]
        for index, piece in later:
            if not all(table.version in self._ready for table in piece.tables):
                if not self._standing.replica:  # no table can be altered whose rows are yet to be checked
                    self._send(b"SET CONSTRAINTS ALL IMMEDIATE")
                    self._send(b"SET CONSTRAINTS ALL DEFERRED")
                self._finish()
                self._prepare(piece.tables, replayed=replayed)
            yield index, piece

    def _begin(self, batch: Batch, tables: Sequence[Table], *, replayed: bool) -> None:
        """Send BEGIN and the positions; prepare targets that are not known, which needs an answer."""
        mark = batch.snapshot
        # Dead letters that are replayed do not move the position, and may come in the middle of a snapshot.
        completes = mark is None and self._targets.waits and self._ledger.moves(batch.positions)
        self._send(b"BEGIN")
        stamp = [(batch.committed_at or datetime.now(UTC)).isoformat().encode()] if self.marked else []
        for position in batch.positions:
            move = MOVE_MARKED if stamp else MOVE
            self._send(move, [*self._ledger.moved(position), *stamp], index=_POSITION)
        if not self._standing.replica:
            self._send(b"SET CONSTRAINTS ALL DEFERRED")
        if mark is None and not completes and all(table.version in self._ready for table in tables):
            return
        self._finish()
        if completes:
            self._targets.complete()
            self._ready.clear()
        marked = (mark.table,) if mark and mark.table else ()
        self._prepare(tables or marked, attempt=mark.attempt if mark else None, replayed=replayed)

    def _prepare(self, tables: Sequence[Table], *, attempt: str | None = None, replayed: bool = False) -> None:
        for table in tables:
            if not table.columns and attempt is None:
                self._untold[table.version] = self._targets.emptied(table)
                continue
            self._ready[table.version] = target = self._targets.prepare(table, attempt=attempt, replayed=replayed)
            place = table.schema, table.name
            if self._receivers.get(place, target.receivers) != target.receivers:
                self._pipe.forget()  # a parameter keeps the type that the column had
            self._receivers[place] = target.receivers
        for schema, name, column in self._nulls:
            self._targets.allow_null((schema, name), column)
        self._rows.forget()

    def _load(self, batch: Batch) -> None:
        """Rows of a snapshot: nothing of theirs is in the target, which was cleared when the attempt began."""
        self._finish()
        self._bulk.insert(batch)

    def _by_rows(self, batch: Batch, *, first: int = 0, careful: bool = False) -> None:
        """One statement a change, in the order of the source; when `careful`, an insert takes the place of a row of its
        key, and an update that changes a key does where its row is missing. `first` is the index of the first change in
        the whole batch."""
        # Rows of a snapshot have distinct keys, and what is in their way is refused: it is not ours.
        growth = sorted(index for index in self._growth if index >= first) if careful else []
        for statement in self._rows.statements(batch, merge=careful and batch.snapshot is None, first=first):
            while growth and growth[0] <= statement.index:
                self._finish()
                self._targets.grow(batch[growth.pop(0) - first].table)
            what = _ADDS if statement.adds else _REMOVES if statement.removes else 0
            self._send(statement.text, statement.params, index=statement.index, what=what)

    def _in_bulk(self, batch: Batch) -> None:
        """As sets, as far as that is worth it; the parts of a folded batch are independent or in order."""
        for run in around_truncates(batch):
            ops = run.ops()
            if "t" in ops:
                self._by_rows(run)
                continue
            inserts = not ops.strip("cr")
            # A change of key as delete and insert would lose the cells of columns that only the target has.
            split = not any(self._target(table).extra for table in run.tables)
            for part in run.segments() if inserts else run.latest(split_keys=split).segments():
                self._apply_part(part)

    def _apply_part(self, part: Batch) -> None:
        """Changes of distinct keys, or of a table without a key in their order, or inserts of several tables."""
        ops = part.ops()
        if not ops.strip("cr"):
            self._finish()
            self._bulk.insert(part)
        elif len(part) <= max(ROWS_MAX, 1) or _wide(part) or not all(self._stageable(table) for table in part.tables):
            self._by_rows(part)  # one may move its key
        else:
            self._finish()
            self._missing += self._bulk.merge(part)

    def _send(self, text: bytes, params: Sequence[bytes | None] = (), *, index: int = _NOBODY, what: int = 0) -> None:
        if not self._pipe.open:
            self._pipe.begin()
            del self._sent[:], self._what[:]
        self._sent.append(index)
        self._what.append(what)
        self._pipe.send(text, params)

    def _finish(self) -> None:
        """Wait for the answers to what was sent."""
        if self._pipe.open:
            counts = self._pipe.finish()
            for count, what in zip(counts, self._what, strict=True):
                self._missing += count if what == _ADDS else what == _REMOVES and not count

    def _meant(self, batch: Batch, failure: Failure, *, careful: bool) -> Exception:
        """What the failure of a statement is about: the claim, a change, or else the session or the server."""
        change = self._sent[failure.index]
        if change == _POSITION and failure.error.sqlstate == NOT_FOUND:
            ahead = sum(sent == _POSITION for sent in self._sent[: failure.index])
            return Fenced(
                f"another process has claimed {batch.positions[ahead].lineage} since, as the target says",
                hint="let that one go on; this one stops",
            )
        if failure.error.sqlstate == GENERATED_ALWAYS and change >= 0:
            if not careful:
                return Doubt()  # it may count in a part
            table = batch[change].table
            return counts_alone(self._ready[table.version], table)
        if not careful or not concerns_rows(failure.error):
            return failure.error
        if failure.error.sqlstate == UNREADABLE and self._grows(batch, change):
            return Doubt()
        blamed = change if change >= 0 else _last_of(batch, self._sent[: failure.index], failure.error)
        table = batch[blamed].table
        if failure.error.sqlstate == UNREADABLE and table.types and self._aged:
            return Retryable(
                f"the target cannot read a value of {table}: a type may have grown since the stream was opened",
                hint="it is opened again, which reads the types anew",
            )
        return Reject({blamed: reason(failure.error, self._ready.get(table.version), table)})

    def _stageable(self, table: Table) -> bool:
        return bool(table.key) and Stage.fits(self._target(table))

    def _target(self, table: Table) -> Target:
        if not table.columns:
            raise nothing_to_write(table)
        return self._ready[table.version]

    def _emptied(self, table: Table) -> Target | None:
        return self._ready[table.version] if table.columns else self._untold[table.version]

    def _roll_back(self) -> None:
        """End the transaction, and forget what it made."""
        self._pipe.abandon()
        self._targets.roll_back()
        self._bulk.roll_back()
        self._ready.clear()
        self._untold.clear()


def around_truncates(batch: Batch) -> Iterator[Batch]:
    """Runs that have no TRUNCATE, and between them those that have nothing else.

    Only a segment that has one is looked at change by change, so a large transaction costs little around it.
    """
    if "t" not in batch.ops():
        yield batch
        return
    run: list[Batch] = []
    for segment in batch.segments():
        if "t" not in segment.ops():
            run.append(segment)
            continue
        for empties, group in groupby(enumerate(segment), lambda item: item[1].op == "t"):
            part = segment.only([index for index, _ in group])
            if empties:
                yield from Batch.merge(run)
                run.clear()
                yield part
            else:
                run.append(part)
    yield from Batch.merge(run)


def _wide(part: Batch) -> bool:
    return part.nbytes >= len(part) * WIDE_NBYTES


def _last_of(batch: Batch, sent: Sequence[int], error: psycopg.Error) -> int:
    """The last of the changes `sent` of the table that a deferred constraint is about: one of them broke it."""
    named = (error.diag.schema_name, error.diag.table_name)
    changes = [change for change in sent if change >= 0]
    about = (change for change in reversed(changes) if (batch[change].table.schema, batch[change].table.name) == named)
    return next(about, changes[-1])
