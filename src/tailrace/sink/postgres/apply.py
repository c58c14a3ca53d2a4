"""Carries out a batch in one transaction with its positions. Knows paths, not grammar: that is in `statements.py`.

The position is moved first: the lock on its row keeps two writers apart, and nothing behind it is carried out when the
epoch is over.
"""

from __future__ import annotations

from array import array

import psycopg

from tailrace.dialect.postgres.session import Connection
from tailrace.error import Fenced, Reject, TailraceError
from tailrace.model import Batch
from tailrace.sink.postgres.ledger import MOVE, Ledger
from tailrace.sink.postgres.pipe import Failure, Pipe
from tailrace.sink.postgres.refusal import NOT_FOUND, concerns_rows, reason
from tailrace.sink.postgres.rows import Rows
from tailrace.sink.postgres.standing import Standing
from tailrace.sink.postgres.target import Target, Targets

__all__ = ["Applier"]

ROWS_MAX = 100

_NOBODY, _POSITION = -1, -2
"""In place of a change's index: the statement belongs to none, or moves a position."""


class Applier:
    """Applies batches on one session. An error leaves nothing of the batch behind."""

    def __init__(self, connection: Connection, ledger: Ledger, targets: Targets, *, standing: Standing) -> None:
        self._connection = connection
        self._ledger = ledger
        self._targets = targets
        self._standing = standing
        self._ready: dict[int, Target] = {}
        """Targets that need no statement any more, by the version of their table."""
        self._rows = Rows(lambda table: self._ready[table.version])
        self._pipe = Pipe(connection)
        self.missing = 0
        """Rows that a change expected and the target did not have: added, or deleted already."""

    def apply(self, batch: Batch) -> None:
        """Apply and commit `batch`.

        `Reject` names the change that is refused, `Fenced` says that the claim is over; errors of psycopg are about the
        session or the server.
        """
        try:
            self._apply(batch, careful=False)
        except psycopg.Error as error:
            if not concerns_rows(error):
                raise
        else:
            return
        self._apply(batch, careful=True)

    def _apply(self, batch: Batch, *, careful: bool) -> None:
        """One transaction; whatever ends it early rolls it back."""
        sent = array("q")
        try:
            self._begin(batch, sent)
            self._by_rows(batch, sent, careful=careful)
        except Failure as failure:
            self._forget()
            change = sent[failure.index]
            if change == _POSITION and failure.error.sqlstate == NOT_FOUND:
                raise Fenced(
                    f"another process has claimed {batch.positions[0].lineage} since, as the target says",
                    hint="let that one go on; this one stops",
                ) from None
            if careful and concerns_rows(failure.error):
                blamed = change if change >= 0 else _last_of(batch, sent, failure)
                table = batch[blamed].table
                raise Reject({blamed: reason(failure.error, self._ready.get(table.version), table)}) from None
            raise failure.error from None
        except (psycopg.Error, TailraceError):
            self._pipe.abandon()
            self._forget()
            raise
        except BaseException:
            self._connection.close()  # in whatever state it is: the transaction ends with it
            raise

    def _begin(self, batch: Batch, sent: array[int]) -> None:
        """Send BEGIN and the positions; prepare targets that are not known, which needs an answer."""
        pipe, tables = self._pipe, batch.tables
        pipe.begin()
        pipe.send(b"BEGIN")
        sent.append(_NOBODY)
        for position in batch.positions:
            pipe.send(MOVE, self._ledger.moved(position))
            sent.append(_POSITION)
        mark = batch.snapshot
        if mark is None and all(table.version in self._ready for table in tables):
            return
        pipe.finish()
        del sent[:]
        for table in tables or ((mark.table,) if mark and mark.table else ()):
            self._ready[table.version] = self._targets.prepare(table, attempt=mark.attempt if mark else None)
        self._rows.forget()
        pipe.begin()

    def _by_rows(self, batch: Batch, sent: array[int], *, careful: bool) -> None:
        """One statement a change, in the order of the source.

        When `careful`, an insert takes the place of a row of its key, and deferred constraints are looked at behind
        each transaction of the source, so that one of its changes can be blamed.
        """
        pipe = self._pipe
        adds, removes = array("q"), array("q")
        if not self._standing.replica:
            pipe.send(b"SET CONSTRAINTS ALL DEFERRED")
            sent.append(_NOBODY)
        for statement in self._rows.statements(batch, merge=careful):
            if statement.adds:
                adds.append(len(sent))
            elif statement.removes:
                removes.append(len(sent))
            sent.append(statement.index)
            pipe.send(statement.text, statement.params)
        pipe.send(b"COMMIT")
        sent.append(_NOBODY)
        counts = pipe.finish()
        self.missing += sum(counts[place] for place in adds) + sum(not counts[place] for place in removes)

    def _forget(self) -> None:
        """The transaction is rolled back, and what it made with it."""
        self._targets.roll_back()
        self._ready.clear()


def _last_of(batch: Batch, sent: array[int], failure: Failure) -> int:
    """The last change before the failure of the table that a deferred constraint is about: one of them broke it."""
    named = (failure.error.diag.schema_name, failure.error.diag.table_name)
    changes = [change for change in sent[: failure.index] if change >= 0]
    about = (change for change in reversed(changes) if (batch[change].table.schema, batch[change].table.name) == named)
    return next(about, changes[-1])
