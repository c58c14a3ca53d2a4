"""What the errors of a stream say about the history behind it. Never lets a password or a row value through."""

from __future__ import annotations

import psycopg

from tailrace.dialect.postgres.fault import first_line, lost, translate
from tailrace.error import Fatal, HistoryLost, Retryable, TailraceError

WAL_LEVEL_FIX = "ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server"
RESET_HINT = "`tailrace reset` forgets the position and starts again with a new snapshot"
_UNDECODED_HINT = (
    "an error of PostgreSQL itself: its log may say more, and a newer minor version may not have it; " + RESET_HINT
)


class Undecoded(Fatal):
    """The server ended the stream since it could not decode its own log (XX000, an internal error of its)."""


def waits_for_standby(said: psycopg.errors.Diagnostic) -> bool:
    """Whether the server holds back changes until the standbys of synchronized_standby_slots have them.

    It says so under the code of a hole, but nothing is skipped.
    """
    return said.source_function == "StandbySlotsHaveCaughtup"


def broken(slot: str) -> str:
    """What is said first of a stream that is cut off, whichever of its two connections tells."""
    return f"the connection of slot {slot!r} broke"


def translate_stream(error: psycopg.Error, slot: str) -> TailraceError:
    """As `translate`, for START_REPLICATION and what follows: there some states mean that the history is gone."""
    text = first_line(error)
    if waits_for_standby(error.diag):  # the last word of a server that shuts down without its standby
        return Retryable(f"replication slot {slot!r} waits: {text}")
    if error.sqlstate in ("55000", "58P01"):
        return HistoryLost(f"replication slot {slot!r} cannot go on: {text}", hint=RESET_HINT)
    if error.sqlstate == "42704":
        return HistoryLost(f"what the stream of slot {slot!r} needs was dropped: {text}", hint=RESET_HINT)
    if error.sqlstate == "XX000":
        return Undecoded(
            f"the server cannot decode its log for replication slot {slot!r}: {text} (SQLSTATE XX000)",
            hint=_UNDECODED_HINT,
        )
    if lost(error):
        return Retryable(f"{broken(slot)}: {text}")
    return translate(error, f"read from replication slot {slot!r}")
