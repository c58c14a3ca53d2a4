"""Asks the server on the side how far its log has grown, and now and then what is published, while the stream flows.

Never waits for the answer.

The connection is shared with whoever describes relations, on the same thread: they call `settle` before they use it.
"""

from __future__ import annotations

import select
import time
from dataclasses import dataclass

from psycopg import errors, pq

from tailrace.dialect.postgres.fault import told, translate
from tailrace.dialect.postgres.session import Connection
from tailrace.error import Retryable
from tailrace.source.postgres import query
from tailrace.source.postgres.roster import Roster

_DOING = "ask the server how far its log has grown"
_SETTLE_S = 5.0
_PACE_S = 2.0
_ROSTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Extent:
    """The end of the server's log, and bytes of it that are kept for the slot; None when nothing is any more.

    `at` is when the server was asked, on the monotonic clock, in seconds: what was committed before that is in it.
    """

    wal_end: int
    retained: int | None
    at: float


class Measure:
    """One question at a time on one connection. Used on the reader thread only."""

    def __init__(self, connection: Connection, slot: str, roster: Roster) -> None:
        self._connection = connection
        self._statement = query.load("extent").encode()
        self._slot = slot.encode()
        self._roster = roster
        self._roster_due_at = 0.0
        self._asked_at: float | None = None
        self._result: pq.abc.PGresult | None = None
        self._due_at = 0.0
        self.last: Extent | None = None
        """The latest answer."""

    def beat(self) -> None:
        """Ask now and then, and take the answer once it is there. Returns at once."""
        self.look()
        now = time.monotonic()
        if now >= self._due_at:
            self.ask()
            self._due_at = now + _PACE_S

    @property
    def waits(self) -> bool:
        """An answer is due."""
        return self._asked_at is not None

    def ask(self) -> None:
        """Send the question, unless one is open; returns at once."""
        if self._asked_at is None:
            now = time.monotonic()
            publication = self._roster.name.encode() if now >= self._roster_due_at else None
            asked = [self._slot, publication, self._roster.left_out.encode()]
            with told(_DOING):
                self._connection.pgconn.send_query_params(self._statement, asked)
            self._asked_at = now

    def look(self) -> Extent | None:
        """The answer, once it is there; returns at once. Raises what the server says instead.

        One that a locked table keeps from telling what is published is asked again without that.
        """
        if self._asked_at is None:
            return None
        connection = self._connection.pgconn
        with told(_DOING):
            connection.consume_input()
            while not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    return self._answer()
                self._result = result
        return None

    def _answer(self) -> Extent | None:
        asked_at = self._asked_at or 0.0
        result, self._result, self._asked_at = self._result, None, None
        if result is None:
            raise Retryable(f"cannot {_DOING}")
        if result.status != pq.ExecStatus.TUPLES_OK:
            error = errors.error_from_result(result)
            if not isinstance(error, errors.LockNotAvailable):
                raise translate(error, _DOING)
            self._roster_due_at, self._due_at = time.monotonic() + _ROSTER_S, 0.0
            return None
        end, retained, published = (result.get_value(0, column) for column in range(3))
        if published is not None:
            self._roster.look(published.decode())
            self._roster_due_at = time.monotonic() + _ROSTER_S
        self.last = Extent(int(end or 0), None if retained is None else int(retained), asked_at)
        return self.last

    def overdue(self, silence_s: float) -> bool:
        """The server has owed an answer for longer than that."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > silence_s

    def settle(self, timeout_s: float = _SETTLE_S) -> None:
        """Leave the connection free for others; `Retryable` when the answer does not come."""
        deadline = time.monotonic() + timeout_s
        while self._asked_at is not None and self.look() is None:
            if (left := deadline - time.monotonic()) <= 0:
                raise Retryable(f"cannot {_DOING}: no answer for {timeout_s:.0f} s")
            with told(_DOING):
                self._poll(left)

    def _poll(self, timeout_s: float) -> None:
        poll = select.poll()  # select() knows no descriptor above 1023
        poll.register(self._connection.pgconn.socket, select.POLLIN)
        poll.poll(timeout_s * 1000)
