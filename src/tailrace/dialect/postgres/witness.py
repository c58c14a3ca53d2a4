"""Tells a server that is at work from one that is gone, while it says nothing. Leaves that session alone.

A session that is waited for has no keepalives, and whatever stands between (a proxy, a load balancer) may acknowledge
for a server that died. So after a silence the server is asked through a new connection whether it still works for it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from tailrace.dialect.postgres.fault import full
from tailrace.dialect.postgres.session import Connection, Login, connect, fetch
from tailrace.error import Retryable

__all__ = ["Session", "Watch", "Witness", "silence_s"]

_SILENCE_S_MIN, _SILENCE_S_MAX = 5.0, 60.0
_OURS = (
    "SELECT pid, backend_start::pg_catalog.text FROM pg_catalog.pg_stat_activity"
    " WHERE pid = pg_catalog.pg_backend_pid()"
)
_LIVES = (
    "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity"
    " WHERE pid = %(pid)s AND backend_start IS NOT DISTINCT FROM %(started_at)s::pg_catalog.timestamptz"
)


def silence_s(sender_timeout_s: float) -> float:
    """How long a server may say nothing: as long as it waits for us itself, within bounds."""
    return min(max(sender_timeout_s, _SILENCE_S_MIN), _SILENCE_S_MAX)


@dataclass(frozen=True, slots=True)
class Session:
    """One session of a server: after a restart another may have its process id, but began later."""

    pid: int
    started_at: str | None
    """Not shown to a role that has taken the place of the one that logged in (SET ROLE)."""

    @classmethod
    def of(cls, connection: Connection) -> Session:
        """That of `connection`, as the server knows it; a pooler has ids of its own."""
        [[pid, started_at]] = fetch(connection, _OURS)
        return cls(pid, started_at)


@dataclass(frozen=True, slots=True)
class Witness:
    """Asks the server of `login`, each time that nothing was heard of a session for `silence_s`."""

    login: Login
    silence_s: float

    def over(self, connection: Connection) -> Watch:
        """A watch over this session, which must be free to answer: later it may be the one that is silent."""
        return Watch(self, Session.of(connection))

    def ask(self, session: Session, doing: str) -> None:
        """`Retryable` unless the server answers, and has this session; `doing` is what that does.

        One that has no room for another session answers, and may well be at work for it.
        """
        silent = f"nothing was heard for {self.silence_s:.0f} s while {doing}"
        try:
            with closing(connect(self.login)) as other:
                params = {"pid": session.pid, "started_at": session.started_at}
                [[found]] = fetch(other, _LIVES, params)
        except Retryable as error:
            if full(error.__cause__):
                return
            raise Retryable(f"{silent}, and {error.args[0]}", hint=error.hint) from error
        if not found:
            raise Retryable(f"{silent}, and the server has no such session any more")


@dataclass(frozen=True, slots=True)
class Watch:
    """A witness, and the session that it is asked about."""

    witness: Witness
    session: Session

    @property
    def silence_s(self) -> float:
        """How long the session may say nothing before `ask`."""
        return self.witness.silence_s

    def ask(self, doing: str) -> None:
        """See `Witness.ask`."""
        self.witness.ask(self.session, doing)
