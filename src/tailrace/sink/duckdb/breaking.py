"""Breaks off what DuckDB still runs some time after a stop. Never decides when a stop comes, nor closes anything."""

from __future__ import annotations

import _thread
import contextlib
import logging
import threading
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Breaker"]

_AGAIN_S = 0.5

log = logging.getLogger(__name__)


class Breaker:
    """Watches over the open `connection` of `path`, on a thread of its own, until it is told that it was closed."""

    def __init__(self, connection: DuckDBPyConnection, path: Path, *, timeout_s: float) -> None:
        self._connection = connection
        self._signs = _Signs()
        # It begins now: to start one takes a lock of `threading`, which a signal handler's own thread may hold. It does
        # not keep the connection of a writer that is dropped without being closed.
        watch = partial(_watch, weakref.ref(self), self._signs, path, timeout_s=timeout_s)
        self._thread = threading.Thread(target=watch, name="tailrace-breaker", daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, self._signs.end)

    def ask(self) -> None:
        """Break off, `timeout_s` from now, what still runs then, statement by statement; from any thread or signal
        handler."""
        self._signs.ask()

    def interrupt(self) -> None:
        """Break off the statement that runs now, if one does."""
        import duckdb

        with contextlib.suppress(duckdb.Error):  # It was closed at this very moment.
            self._connection.interrupt()

    def close(self) -> None:
        """The connection is closed: end.

        A thread that still had it in hand while Python ends would have DuckDB print a page about leaks.
        """
        self._end()
        self._thread.join()


class _Signs:
    """That a stop was asked for, and the end. Bare locks, which a signal handler may release: an Event's may be held by
    its own thread."""

    def __init__(self) -> None:
        self._unasked, self._open = _thread.allocate_lock(), _thread.allocate_lock()
        self._unasked.acquire()
        self._open.acquire()

    def ask(self) -> None:
        with contextlib.suppress(RuntimeError):  # It was asked for already.
            self._unasked.release()

    def end(self) -> None:
        self._open.release()
        self.ask()

    def wait_asked(self) -> None:
        self._unasked.acquire()

    def wait_end(self, timeout_s: float) -> bool:
        return self._open.acquire(timeout=timeout_s)


def _watch(breaker: weakref.ref[Breaker], signs: _Signs, path: Path, *, timeout_s: float) -> None:
    signs.wait_asked()
    if signs.wait_end(timeout_s):
        return
    log.warning("%s: a statement still runs %g s after the stop: breaking it off", path, timeout_s)
    while (found := breaker()) is not None:
        found.interrupt()
        del found
        # One that ended at this very moment was not broken off, and the next of its batch begins all the same.
        if signs.wait_end(_AGAIN_S):
            return
