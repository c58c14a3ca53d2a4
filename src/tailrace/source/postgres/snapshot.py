"""Reads every published table as it stood at the slot's consistent point. Never touches the slot or the stream.

All sessions import the snapshot that the slot's creation exported; the tables are locked against DDL. One that was
rewritten or truncated since before the slot was made is noticed by its file: an old snapshot would read it empty.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from tailrace._native import CopyRows
from tailrace.dialect.postgres.session import Connection, Login, connect, fetch, run
from tailrace.dialect.postgres.witness import Witness
from tailrace.error import Fatal
from tailrace.model import Batch
from tailrace.source.postgres import plan
from tailrace.source.postgres.copying import Ahead, Copying, TableReader
from tailrace.source.postgres.place import Lineage, Place
from tailrace.source.postgres.plan import Files, Moved, TableCopy

_log = logging.getLogger("tailrace.source.postgres")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when the rows of one attempt were read; goes into each of them."""

    lineage: Lineage
    lsn: int
    timeline: int
    attempt: str
    xid: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read and held at a time, by how many sessions, and who is asked about one that is silent."""

    readers: int
    segment_bytes: int
    frame_bytes_max: int
    witness: Witness


class Snapshot:
    """The tables of one attempt, read one after another. Used on the reader thread only."""

    def __init__(
        self, sessions: list[Connection], parts: Sequence[TableCopy], *, origin: Origin, bounds: Bounds
    ) -> None:
        self._sessions = sessions
        self._watches = [bounds.witness.over(session) for session in sessions]
        self._parts = parts
        self._origin = origin
        self._bounds = bounds
        self._index = 0
        self._next_ordinal = 0
        self._rows: CopyRows | None = None
        self._copying: Copying | None = None
        self._ended: list[tuple[int, CopyRows | None]] = []
        """Tables whose rows were all read: the last row of the first is the last of all if no table behind has any."""
        self._finished: deque[Batch] = deque()
        self._ahead = self._read_ahead(min(len(sessions), len(parts)))

    @property
    def done(self) -> bool:
        """Every table was delivered."""
        return self._index == len(self._parts) and not self._finished

    def read(self, timeout_s: float) -> Batch | None:
        """The next rows, of one table; None after `timeout_s` without any, or when `done`."""
        deadline = time.monotonic() + timeout_s
        fed = 0
        while not self._finished and self._index < len(self._parts):
            copying = self._current()
            chunk = copying.read(max(deadline - time.monotonic(), 0.0))
            if chunk is not None:
                rows = self._rows or self._begin_rows()
                fed += chunk.nbytes
                with self._understood(self._index):
                    rows.feed(chunk)
                    if fed >= self._bounds.segment_bytes and not self._finished and (batch := rows.take()) is not None:
                        return batch
            elif copying.done:
                self._end_table()
            elif time.monotonic() >= deadline:
                with self._understood(self._index):
                    return self._rows.take() if self._rows is not None else None
        return self._finished.popleft() if self._finished else None

    def close(self) -> None:
        """Give up what is not read yet, and the sessions; closing twice is harmless (I12)."""
        for ahead in self._ahead:
            ahead.close()
        for session in self._sessions:
            session.close()

    def _read_ahead(self, count: int) -> list[Ahead]:
        if count < 2:
            return []
        return [
            Ahead(
                session,
                self._parts[share::count],
                frame_bytes_max=self._bounds.frame_bytes_max,
                watch=self._watches[share],
            )
            for share, session in enumerate(self._sessions[:count])
        ]

    def _current(self) -> Copying:
        if self._copying is None:
            part = self._parts[self._index]
            _log.info("snapshot of %s (%d of %d)", part.table, self._index + 1, len(self._parts))
            if self._ahead:
                ahead = self._ahead[self._index % len(self._ahead)]
                ahead.next_table()
                self._copying = ahead
            else:
                self._copying = TableReader(
                    self._sessions[0],
                    part,
                    frame_bytes_max=self._bounds.frame_bytes_max,
                    watch=self._watches[0],
                )
        return self._copying

    def _begin_rows(self) -> CopyRows:
        """The present table has rows, so the ones before it do not hold the last row of all."""
        self._finish(last=False)
        self._rows = self._decoder(self._index)
        return self._rows

    def _decoder(self, index: int) -> CopyRows:
        origin = self._origin
        return CopyRows(
            str(origin.lineage),
            self._parts[index].table,
            database=origin.lineage.database,
            attempt=origin.attempt,
            lsn=origin.lsn,
            timeline=origin.timeline,
            xid=origin.xid,
            at_us=origin.at_us,
            first_ordinal=self._next_ordinal,
            first_table=index == 0,
            segment_bytes=self._bounds.segment_bytes,
        )

    def _end_table(self) -> None:
        self._ended.append((self._index, self._rows))
        self._index += 1
        self._rows = self._copying = None
        if self._index == len(self._parts):
            self._finish(last=True)
            self.close()

    @contextlib.contextmanager
    def _understood(self, index: int) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise Fatal(
                f"the copy of {self._parts[index].table} holds something that is not understood: {error}",
                hint="nothing was skipped; please report it with the server's version",
            ) from error

    def _finish(self, *, last: bool) -> None:
        """Complete the tables that have ended; what comes of it is delivered before anything else."""
        for index, rows in self._ended:
            rows = rows or self._decoder(index)
            with self._understood(index):
                self._finished.append(rows.finish(last_table=last))
            self._next_ordinal = rows.next_ordinal
        self._ended.clear()


@dataclass(frozen=True, slots=True)
class Exported:
    """A snapshot as the slot's creation exported it, what is captured, and the tables' files from before."""

    name: str
    publication: str
    globs: tuple[str, ...] | None
    files: Files


def begin(login: Login, exported: Exported, *, lineage: Lineage, place: Place, bounds: Bounds) -> Snapshot:
    """Import the snapshot into all sessions and lock the tables; `Moved` when they are not what they were.

    The session that exported it is not needed any more once this returns.
    """
    sessions: list[Connection] = []
    try:
        for _ in range(bounds.readers):
            sessions.append(connect(login))
            _import(sessions[-1], exported.name)
        parts = _prepare(sessions[0], exported)
        for share, session in enumerate(sessions[1:], 1):  # behind DDL that waits for the first it would wait for ever
            if own := [part.table for part in parts[share :: bounds.readers]]:
                plan.lock(session, own)
        ((xid, at_us),) = fetch(
            sessions[0],
            "SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::numeric % 4294967296)::int8,"
            " (extract(epoch FROM transaction_timestamp()) * 1000000)::int8",
        )
        attempt = f"{place.lsn:X}-{secrets.token_hex(4)}"
        origin = Origin(lineage, place.lsn, place.timeline, attempt, xid, at_us)
        return Snapshot(sessions, parts, origin=origin, bounds=bounds)
    except BaseException:
        for session in sessions:
            session.close()
        raise


def _import(session: Connection, name: str) -> None:
    doing = "import the slot's snapshot"
    run(session, sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), doing)
    run(session, sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(name)), doing)


def _prepare(session: Connection, exported: Exported) -> list[TableCopy]:
    tables = plan.tables_of(session, exported.publication, exported.globs)
    if not tables:
        return []
    plan.lock(session, tables)
    if plan.files(session, tables) != exported.files:
        raise Moved("a table was rewritten, truncated, added or dropped while the slot was made")
    return plan.make(session, tables)
