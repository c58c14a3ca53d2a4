"""Opens the target for a pipeline and says what its errors mean. Never composes a statement for rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import psycopg

from tailrace.dialect.postgres.fault import lost, told, translate
from tailrace.dialect.postgres.session import Connection, Login, connect
from tailrace.dialect.postgres.session import target as place
from tailrace.error import Fenced, Retryable, TailraceError
from tailrace.model import Batch, Position
from tailrace.sink.postgres.apply import Applier
from tailrace.sink.postgres.ledger import Ledger
from tailrace.sink.postgres.record import Records
from tailrace.sink.postgres.standing import drop_origins, make_origin, mark_writes, open_session
from tailrace.sink.postgres.target import Placing, Targets
from tailrace.sink.postgres.vigil import Vigil

__all__ = ["PostgresWriter"]


class PostgresWriter:
    """An open PostgreSQL sink and its `Positions`. `claim` and `known` come before any batch."""

    def __init__(self, login: Login, name: str, *, placing: Placing) -> None:
        self._login = login
        self._name = name
        self._connection, standing = open_session(login)
        try:
            self._ledger = Ledger(self._connection, name)
            self._ledger.create()
            self._records = Records(self._connection, name)
            self._records.create()
            self._vigil = self._look_on(self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._beside: tuple[Connection, Vigil] | None = None
        targets = Targets(self._connection, name, placing, beside=self._open_beside)
        self._applier = Applier(self._connection, self._ledger, targets, standing=standing)
        self._asked_to_mark = False

    @property
    def missing(self) -> int:
        """Rows that a change expected and the target did not have: they were added, or deleted already."""
        return self._applier.missing

    def known(self) -> Mapping[str, Position | None]:
        """Every lineage that this pipeline claimed in the target, with its position."""
        with self._vigil:
            return self._ledger.positions()

    def claim(self, lineage: str) -> Position | None:
        """Record a new epoch for `lineage` in the target; return its position."""
        with self._vigil:
            if self._asked_to_mark:  # a member of a group claims many
                return self._ledger.claim(lineage)
            make_origin(self._connection, self._name)
            position = self._ledger.claim(lineage)
            self._asked_to_mark = True
            self._applier.marked = mark_writes(self._connection, self._name)
            return position

    def yield_up(self, lineages: Sequence[str]) -> None:
        """See `Yielding`."""
        if self._connection.closed:
            return  # whoever claims them next finds no session to end
        with self._vigil:
            self._ledger.yield_up(lineages)

    def save(self, positions: Sequence[Position]) -> None:
        """Does nothing: `write` saved them with the rows."""

    def move(self, lineage: str, position: Position) -> None:
        """Carry what is saved over to another lineage, which is claimed with it."""
        with self._vigil:
            self._ledger.move(lineage, position)

    def forget(self) -> None:
        """Remove every claim and position, and the replication origins. Tables stay; the next snapshot clears them."""
        with self._vigil:
            with told("forget the pipeline in the target"), self._connection.transaction():
                self._ledger.forget()
                self._records.forget()
            drop_origins(self._connection, self._name)

    def close(self) -> None:
        """Close the sessions; closing twice is harmless (I12)."""
        for connection, vigil in filter(None, ((self._connection, self._vigil), self._beside)):
            vigil.close()
            connection.close()

    def write(self, batch: Batch) -> None:
        """Make the rows and the positions of `batch` durable in one transaction; on any failure none of them are."""
        if self._connection.closed:
            raise Retryable(f"the session with {place(self._login)} is closed", hint="it is opened again after a pause")
        try:
            with self._vigil:
                if len(batch) and batch.snapshot is None and not self._ledger.moves(batch.positions):
                    self._applier.replay(batch)
                else:
                    self._applier.apply(batch)
        except (psycopg.Error, Retryable) as error:
            raise self._explained(error) from error

    def forget_replayed(self, positions: Sequence[Position]) -> None:
        """See `Replaying`."""
        with self._vigil:
            self._ledger.forget_replayed(positions)

    @contextmanager
    def _open_beside(self) -> Iterator[Connection]:
        """A second session, for what must be committed before the transaction of the first can use it."""
        if self._beside is None or self._beside[0].closed:
            connection = connect(self._login)
            self._beside = connection, self._look_on(connection)
        connection, vigil = self._beside
        with vigil:
            yield connection

    def _look_on(self, connection: Connection) -> Vigil:
        return Vigil(connection, self._login, f"writing to {place(self._login)}")

    def _explained(self, error: psycopg.Error | Retryable) -> TailraceError:
        """A lost session may have been ended by the next claim of this pipeline: then this one stops."""
        if self._connection.closed or lost(error):
            if self._fenced():
                return Fenced(
                    f"another process has claimed the pipeline {self._name!r} since and ended this session",
                    hint="let that one go on; this one stops",
                )
            reason = f"the session with {place(self._login)} was lost"
            return self._vigil.lost or Retryable(reason, hint="it is opened again after a pause")
        return error if isinstance(error, Retryable) else translate(error, f"write to {place(self._login)}")

    def _fenced(self) -> bool:
        """Ask through another session; a server that does not answer has not fenced us."""
        try:
            with closing(connect(self._login)) as other:
                return self._ledger.fenced(other)
        except TailraceError:
            return False
