"""Ends a session that waits for a server that is gone. Never ends one that is at work, however long that takes.

libpq waits for an answer without an end, and whatever stands between may acknowledge for a server that died. Nothing in
that wait can be asked to stop, so a thread beside it looks on, and shuts the socket when a witness says so.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from types import TracebackType

from tailrace.dialect.postgres.session import Connection, Login
from tailrace.dialect.postgres.witness import Witness
from tailrace.error import Retryable, TailraceError

__all__ = ["Vigil"]

SILENCE_S = 30.0
"""How long an answer may take before the server is asked whether it is still at it, and between two questions."""


class Vigil:
    """Of one session; what is done `with` it is looked upon. Its thread begins with the first of that."""

    def __init__(self, connection: Connection, login: Login, doing: str) -> None:
        self._watch = Witness(login, SILENCE_S).over(connection)
        self._doing = doing
        # A descriptor of our own: the number of the session's may be another file's by the time that it is shut.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._since: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="tailrace-vigil", daemon=True)
        self.lost: Retryable | None = None
        """Why the session was ended."""

    def __enter__(self) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._since = None
        if self.lost is not None and isinstance(error, Retryable):
            raise self.lost from error

    def close(self) -> None:
        """Look on no more; closing twice is harmless (I12)."""
        self._closed.set()
        self._socket.close()

    def _look_on(self) -> None:
        asked_at = time.monotonic()
        while not self._closed.wait(self._watch.silence_s / 4):
            since = self._since
            if since is None or time.monotonic() - max(since, asked_at) < self._watch.silence_s:
                continue
            asked_at = time.monotonic()
            try:
                self._watch.ask(self._doing)
            except Retryable as error:
                if since == self._since:
                    self.lost = error
                    self._socket.shutdown(socket.SHUT_RDWR)
                    return
            except TailraceError:
                continue  # it does not let us in any more, and so it is there
