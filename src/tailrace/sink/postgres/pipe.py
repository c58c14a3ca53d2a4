"""Sends prepared statements one behind another, without waiting for answers in between. Never decides what is sent.

libpq's pipeline mode (PostgreSQL manual, "Pipeline Mode"), through psycopg's `pq`: a statement costs one call and no
conversion of values. An error skips what was sent behind it, COMMIT too.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg import errors, pq

from tailrace.dialect.postgres.session import Connection

__all__ = ["Failure", "Pipe"]

Params = Sequence[bytes | None]

_STATEMENTS_MAX = 1000
"""Prepared statements that a session keeps; more are many tables or shapes, and all are made anew then."""
_IN_FLIGHT_MAX, _IN_FLIGHT_BYTES_MAX = 10_000, 8 << 20
"""Statements, and bytes of values, sent before answers are read: what waits for the server lies in our memory (I8)."""


class Failure(Exception):
    """The statement number `index` of those that were sent failed, as `error` says."""

    def __init__(self, index: int, error: psycopg.Error) -> None:
        super().__init__(index)
        self.index = index
        self.error = error


class Pipe:
    """Statements of one session. `send` as many as needed, then `finish`."""

    def __init__(self, connection: Connection) -> None:
        self._pgconn = connection.pgconn
        self._names: dict[bytes, bytes] = {}
        self._number = 0
        self._sent: list[bool] = []
        """For each command in flight, whether it is a statement (or else a Parse that nobody numbers)."""
        self._nbytes = 0
        self._counts: list[int] = []
        self._failed: Failure | None = None

    @property
    def open(self) -> bool:
        """Whether something was sent that is not finished."""
        return self._pgconn.pipeline_status != pq.PipelineStatus.OFF

    def begin(self) -> None:
        """Enter pipeline mode; nothing else may use the session until `finish`."""
        self._sent, self._nbytes, self._counts, self._failed = [], 0, [], None
        if len(self._names) > _STATEMENTS_MAX:
            self.forget()
        self._pgconn.enter_pipeline_mode()

    def send(self, statement: bytes, params: Params = ()) -> None:
        """Add one statement; it is prepared when the session sees it for the first time."""
        name = self._names.get(statement)
        if name is None:
            self._number += 1
            name = self._names[statement] = b"tailrace_%d" % self._number
            self._pgconn.send_prepare(name, statement)
            self._sent.append(False)
        self._pgconn.send_query_prepared(name, params)
        self._sent.append(True)
        self._nbytes += sum(map(len, filter(None, params)))
        if len(self._sent) >= _IN_FLIGHT_MAX or self._nbytes >= _IN_FLIGHT_BYTES_MAX:
            self._pgconn.send_flush_request()
            self._collect()
            if self._failed is not None:  # nothing that follows would be carried out
                self.finish()

    def finish(self, undo: bytes = b"ROLLBACK") -> list[int]:
        """Wait for all answers and leave pipeline mode; returns how many rows each statement touched.

        Raises `Failure` for the first that failed, after the transaction was rolled back, or `undo` was done instead.
        """
        self._pgconn.pipeline_sync()
        self._collect()
        self._result()  # that of the synchronisation
        self._pgconn.exit_pipeline_mode()
        if self._failed is not None:
            # What failed to be prepared does not exist under its name, and neither does what came behind it.
            self._pgconn.exec_(undo)
            self.forget()
            raise self._failed
        return self._counts

    def forget(self) -> None:
        """Prepare every statement anew; not within the pipeline mode."""
        self._pgconn.exec_(b"DEALLOCATE ALL")
        self._names.clear()

    def abandon(self) -> None:
        """Leave pipeline mode, if the session is in it, and roll back."""
        if self.open:
            with suppress(Failure, psycopg.OperationalError):
                self.finish()
        if self._pgconn.status == pq.ConnStatus.OK:
            self._pgconn.exec_(b"ROLLBACK")

    def _collect(self) -> None:
        """Read the answers to what was sent."""
        for numbered in self._sent:
            result = self._result()
            if result is None:
                raise psycopg.OperationalError("the connection is lost")
            if result.status == pq.ExecStatus.FATAL_ERROR and self._failed is None:
                self._failed = Failure(len(self._counts), errors.error_from_result(result))
            if numbered:
                self._counts.append(result.command_tuples or 0)
            self._pgconn.get_result()  # the end of this command's results, which never needs to be waited for
        self._sent, self._nbytes = [], 0

    def _result(self) -> pq.abc.PGresult | None:
        """The next result; lets other threads run while it waits."""
        pgconn = self._pgconn
        while (unsent := pgconn.flush()) or pgconn.is_busy():
            poll = select.poll()
            poll.register(pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            poll.poll()
            pgconn.consume_input()
        return pgconn.get_result()
