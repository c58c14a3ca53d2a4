"""Tells a server that is at work from one that is gone, while it says nothing. Leaves that session alone.

A session that is waited for has no keepalives, and whatever stands between (a proxy, a load balancer) may acknowledge
for a server that died. So after a silence the server is asked through a new connection whether it still works for it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from tailrace.dialect.postgres.fault import answered
from tailrace.dialect.postgres.session import Login, connect, fetch
from tailrace.error import Retryable

__all__ = ["Witness", "silence_s"]

_SILENCE_S_MIN, _SILENCE_S_MAX = 5.0, 60.0
_LIVES = "SELECT count(*) FROM pg_stat_activity WHERE pid = %(pid)s"


def silence_s(sender_timeout_s: float) -> float:
    """How long a server may say nothing: as long as it waits for us itself, within bounds."""
    return min(max(sender_timeout_s, _SILENCE_S_MIN), _SILENCE_S_MAX)


@dataclass(frozen=True, slots=True)
class Witness:
    """Asks the server of `login`, each time that nothing was heard of a session for `silence_s`."""

    login: Login
    silence_s: float

    def ask(self, pid: int, doing: str) -> None:
        """`Retryable` unless the server answers, and has a session of this process id; `doing` is what that does.

        One that has no room for another session answers, and may well be at work for it.
        """
        silent = f"nothing was heard for {self.silence_s:.0f} s while {doing}"
        try:
            with closing(connect(self.login)) as other:
                [[found]] = fetch(other, _LIVES, {"pid": pid})
        except Retryable as error:
            if answered(error.__cause__):
                return
            raise Retryable(f"{silent}, and {error.args[0]}", hint=error.hint) from error
        if not found:
            raise Retryable(f"{silent}, and the server has no such session any more")
