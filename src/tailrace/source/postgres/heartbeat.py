"""Runs the statement of `heartbeat_action_query` on the source at an interval, on a connection and a thread of its own.

Never reads a change, and never stops the stream: like Debezium, a statement that fails is told and tried again later.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psycopg

from tailrace.dialect.postgres.fault import first_line
from tailrace.dialect.postgres.session import Connection, Login, connect_plain
from tailrace.error import TailraceError
from tailrace.model import Finding
from tailrace.source.postgres.finding import error, ok, warning

__all__ = ["Heartbeat", "check"]

_log = logging.getLogger("tailrace.source.postgres")
_REPEAT_S = 300.0
_JOIN_S = 5.0
_SUBJECT = "heartbeat_action_query"


class Heartbeat:
    """Begins at once, first runs the statement after one interval, and goes on until it is closed.

    A statement that waits (for a lock, say) is waited for: there is never more than one.
    """

    def __init__(self, login: Login, statement: str, interval_s: float) -> None:
        self._login = login
        self._statement = statement.encode()
        self._interval_s = interval_s
        self._closed = threading.Event()
        self._connection: Connection | None = None
        self._told = ""
        self._told_at = 0.0
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="tailrace-heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Run it no more; one that runs is cancelled. Closing twice is harmless (I12)."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=_JOIN_S)
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._closed.wait(self._interval_s):
            self._beat()
        if self._connection is not None:
            self._connection.close()

    def _beat(self) -> None:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = connect_plain(self._login)
            if not self._closed.is_set():
                self._connection.execute(self._statement)
        except psycopg.Error as failed:
            self._tell(f"{first_line(failed)} (SQLSTATE {failed.sqlstate})")
        except TailraceError as failed:  # no connection: the stream has its own, and its own opinion
            self._tell(str(failed.args[0]))
        else:
            if self._told:
                _log.info("%s works again", _SUBJECT)
            self._told = ""

    def _tell(self, reason: str) -> None:
        now = time.monotonic()
        if self._closed.is_set() or (reason == self._told and now - self._told_at < _REPEAT_S):
            return
        self._told, self._told_at = reason, now
        _log.error("%s failed: %s; it is run again every %g s", _SUBJECT, reason, self._interval_s)


def check(login: Login, statement: str, *, standby: bool) -> Iterator[Finding]:
    """Whether the role may run the statement, as far as EXPLAIN tells: it asks for the rights and runs nothing."""
    if standby:
        yield error(_SUBJECT, "the server is a standby, where nothing is written: take it out, the slot moves without")
        return
    with connect_plain(login) as connection:
        connection.execute("SET default_transaction_read_only = on")
        connection.prepare_threshold = 0  # so that the server refuses a second statement behind a semicolon
        try:
            connection.execute(b"EXPLAIN " + statement.encode())
        except psycopg.errors.InsufficientPrivilege as refused:
            yield error(_SUBJECT, f"the role may not run it: {first_line(refused)}: GRANT it, or let another role")
        except psycopg.errors.SyntaxError as refused:
            yield warning(_SUBJECT, f"EXPLAIN cannot tell whether it may run: {first_line(refused)}")
        except psycopg.Error as refused:
            yield error(_SUBJECT, f"it would fail: {first_line(refused)} (SQLSTATE {refused.sqlstate})")
        else:
            yield ok(_SUBJECT, "the role may run it")
