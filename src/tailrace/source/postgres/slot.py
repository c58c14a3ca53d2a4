"""The replication slot: what state it is in, waiting until it is free, dropping it. The walsender creates it.

Never decides whether a slot may be used; `resume` does.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import Retryable
from tailrace.source.postgres import query
from tailrace.source.postgres.place import parse_lsn

_log = logging.getLogger("tailrace.source.postgres")
_GRACE_S = 5.0
_POLL_S, _POLL_S_MAX = 0.02, 0.5


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as `pg_replication_slots` shows it; `retained` is bytes of WAL that it holds back.

    `failover`: its server's standbys shall have it too; `synced`: it came, or comes, from a primary.
    """

    name: str
    type: str
    plugin: str | None
    database: str | None
    active_pid: int | None
    confirmed: int | None
    wal_status: str | None
    invalidation: str | None
    two_phase: bool
    retained: int | None
    temporary: bool = False
    failover: bool = False
    synced: bool = False


def load(connection: Connection, name: str) -> Slot | None:
    """The slot of that name, if there is one; names are unique over all databases of a server."""
    rows = fetch(connection, query.load("slot"), {"slot": name})
    if not rows:
        return None
    kind, plugin, database, pid, confirmed, *rest = rows[0]
    return Slot(name, kind, plugin, database, pid, None if confirmed is None else parse_lsn(confirmed), *rest)


def load_free(connection: Connection, name: str, stop: threading.Event | None = None) -> Slot | None:
    """The slot, once no walsender uses it any more: the server may need its time-out to see that a reader was killed.

    `Retryable`, naming the pid, when that takes longer: then somebody lives who reads it; and when `stop` is set.
    """
    stop = stop or threading.Event()
    found = load(connection, name)
    deadline = time.monotonic() + sender_timeout_s(connection) + _GRACE_S
    pause_s = _POLL_S
    while found is not None and found.active_pid is not None:
        if time.monotonic() > deadline:
            raise Retryable(
                f"replication slot {name!r} is active for PID {found.active_pid}",
                hint=f"another reader lives; if it should not: SELECT pg_terminate_backend({found.active_pid})",
            )
        if pause_s == _POLL_S:
            _log.info("waiting for replication slot %s, still active for PID %d", name, found.active_pid)
        if stop.wait(pause_s):
            raise Retryable(f"stopped while replication slot {name!r} was still active for PID {found.active_pid}")
        pause_s = min(pause_s * 2, _POLL_S_MAX)
        found = load(connection, name)
    return found


def drop(connection: Connection, name: str, stop: threading.Event | None = None) -> bool:
    """Drop the slot once it is free; whether there was one."""
    if load_free(connection, name, stop) is None:
        return False
    statement = "SELECT pg_drop_replication_slot(%(slot)s)"
    fetch(connection, statement, {"slot": name}, doing=f"drop replication slot {name!r}")
    _log.info("dropped replication slot %s", name)
    return True


def sender_timeout_s(connection: Connection) -> float:
    """The server's wal_sender_timeout; 60 when it is off, as then nothing tells how long a dead reader is kept."""
    ((milliseconds,),) = fetch(connection, "SELECT setting::int FROM pg_settings WHERE name = 'wal_sender_timeout'")
    return milliseconds / 1000 or 60.0
