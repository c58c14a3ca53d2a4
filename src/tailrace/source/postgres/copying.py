"""Runs COPY TO STDOUT and hands out what arrives, on the caller's thread or read ahead on others. Never decodes it."""

from __future__ import annotations

import queue
import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import psycopg
from psycopg import errors, pq

from tailrace._native import Chunk, CopyReader
from tailrace.dialect.postgres import libpq
from tailrace.dialect.postgres.fault import first_line, lost, translate
from tailrace.dialect.postgres.session import Connection
from tailrace.dialect.postgres.witness import Watch
from tailrace.error import Fatal, Retryable, TailraceError
from tailrace.source.postgres.plan import TableCopy

_DRAIN_BYTES = 1 << 20
_AHEAD_CHUNKS = 8
_IDLE_S = 0.2


class Copying(Protocol):
    """The copy of one table under way."""

    def read(self, timeout_s: float) -> Chunk | None:
        """What has arrived; None when nothing did in time, or when `done`."""
        ...

    @property
    def done(self) -> bool:
        """Everything was read and the server said that it was all."""
        ...


class TableReader:
    """One COPY on one session, read by the thread that asks. A silent one is given up if its `watch` says so."""

    def __init__(
        self, connection: Connection, part: TableCopy, *, frame_bytes_max: int, watch: Watch | None = None
    ) -> None:
        self._table = str(part.table)
        self._watch = watch
        self._heard_at = time.monotonic()
        self._pgconn = connection.pgconn
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)
        self._start(part.statement.as_bytes(connection))
        self._reader = CopyReader(libpq.path(), libpq.pointer(self._pgconn), frame_bytes_max=frame_bytes_max)
        self._done = False

    @property
    def done(self) -> bool:
        """See `Copying`."""
        return self._done

    def read(self, timeout_s: float) -> Chunk | None:
        """See `Copying`. Raises what ended the COPY, if it was not its end."""
        if self._done:
            return None
        chunk = self._drain()
        if len(chunk):
            self._heard_at = time.monotonic()
            return chunk
        if self._reader.done:
            self._finish()
        elif not self._poll.poll(timeout_s * 1000):
            self._doubt()
        return None

    def _doubt(self) -> None:
        """Nothing comes: after a while, make sure that the server is still at it."""
        if self._watch is not None and time.monotonic() - self._heard_at > self._watch.silence_s:
            self._watch.ask(f"copying {self._table}")
            self._heard_at = time.monotonic()

    def _drain(self) -> Chunk:
        try:
            return self._reader.drain(_DRAIN_BYTES)
        except OSError as error:
            raise self._broken(str(error)) from error
        except OverflowError as error:
            raise Fatal(f"cannot copy {self._table}: {error}", hint=libpq.LARGE_HINT) from error

    def _start(self, statement: bytes) -> None:
        with self._told():
            self._pgconn.send_query(statement)
            result = self._result()
        if result is None or result.status != pq.ExecStatus.COPY_OUT:
            raise self._failure(result)

    def _finish(self) -> None:
        with self._told():
            result = self._result()
            if result is None or result.status != pq.ExecStatus.COMMAND_OK:
                raise self._failure(result)
            while self._result() is not None:
                continue
        self._done = True

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._broken(first_line(error)) from error

    def _result(self) -> pq.abc.PGresult | None:
        """The next answer to the statement."""
        while self._pgconn.is_busy():
            if not self._poll.poll(_IDLE_S * 1000):
                self._doubt()
            self._pgconn.consume_input()
        self._heard_at = time.monotonic()
        return libpq.result(self._pgconn)

    def _failure(self, result: pq.abc.PGresult | None) -> TailraceError:
        if result is None:
            return self._broken("the server gave no answer")
        error = errors.error_from_result(result)
        return self._broken(first_line(error)) if lost(error) else translate(error, f"copy {self._table}")

    def _broken(self, why: str) -> Retryable:
        return Retryable(f"the connection broke while copying {self._table}: {why}")


class Ahead:
    """Copies its share of the tables, one after another, on a thread and a session of its own, into a bounded queue."""

    def __init__(
        self, connection: Connection, parts: Sequence[TableCopy], *, frame_bytes_max: int, watch: Watch
    ) -> None:
        self._connection = connection
        self._watch = watch
        self._parts = parts
        self._frame_bytes_max = frame_bytes_max
        self._queue: queue.Queue[Chunk | TailraceError | None] = queue.Queue(_AHEAD_CHUNKS)
        self._stopped = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._run, name="tailrace-snapshot-reader", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """See `Copying`; of the table that is being read."""
        return self._done

    def next_table(self) -> None:
        """Go on to the next of its tables; what was read before must be `done`."""
        self._done = False

    def read(self, timeout_s: float) -> Chunk | None:
        """See `Copying`."""
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, TailraceError):
            raise item
        self._done = item is None
        return item

    def close(self) -> None:
        """Stop reading ahead and wait for the thread; the session can be closed then."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for part in self._parts:
                self._copy(part)
        except TailraceError as error:
            self._put(error)
        except psycopg.Error as error:
            self._put(translate(error, "copy a table"))
        except Exception as error:  # noqa: BLE001 - whoever waits for chunks must hear of whatever ended them
            hint = "this is a bug: please report it"
            self._put(Fatal(f"a snapshot reader failed: {type(error).__name__}", hint=hint))

    def _copy(self, part: TableCopy) -> None:
        reader = TableReader(self._connection, part, frame_bytes_max=self._frame_bytes_max, watch=self._watch)
        while not reader.done and not self._stopped.is_set():
            chunk = reader.read(_IDLE_S)
            if chunk is not None:
                self._put(chunk)
        self._put(None)

    def _put(self, item: Chunk | TailraceError | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_IDLE_S)
            except queue.Full:
                continue
            return
