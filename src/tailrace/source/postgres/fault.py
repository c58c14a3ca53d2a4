"""What the errors of a stream say about the history behind it. Never lets a password or a row value through."""

from __future__ import annotations

import psycopg

from tailrace.dialect.postgres.fault import first_line, translate
from tailrace.error import HistoryLost, TailraceError

RESET_HINT = "`tailrace reset` forgets the position and starts again with a new snapshot"


def translate_stream(error: psycopg.Error, slot: str) -> TailraceError:
    """As `translate`, for START_REPLICATION and what follows: there some states mean that the history is gone."""
    text = first_line(error)
    if error.sqlstate in ("55000", "58P01"):
        return HistoryLost(f"replication slot {slot!r} cannot go on: {text}", hint=RESET_HINT)
    if error.sqlstate == "42704":
        return HistoryLost(f"what the stream of slot {slot!r} needs was dropped: {text}", hint=RESET_HINT)
    return translate(error, f"read from replication slot {slot!r}")
