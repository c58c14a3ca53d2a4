"""Which of the servers that a url may lead to was reached, and in which role. Never chooses one: libpq does.

A url may name several hosts, and an address may move to another server. What belongs together (slot, catalog, snapshot,
stream) must be read from one of them, so that each session is asked where it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import CheckFailed, Retryable
from tailrace.source.postgres.slot import Slot

STANDBYS = 160000
STATEMENT = "SELECT pg_postmaster_start_time()::text, pg_is_in_recovery()::int"
_ATTRS_HINT = "name the hosts with target_session_attrs=read-write in the url, so that only a primary is taken"


@dataclass(frozen=True, slots=True)
class Host:
    """A server in one of its lives; `standby` while it follows another one."""

    started: str
    standby: bool


def load(connection: Connection) -> Host:
    """The server of this session."""
    ((started, standby),) = fetch(connection, STATEMENT)
    return Host(started, bool(standby))


def require_same(here: Host, there: Host) -> None:
    """`Retryable` when two sessions ended at different servers, or one of them restarted in between."""
    if here != there:
        raise Retryable("two connections of the url reached different servers, or one that restarts", hint=_ATTRS_HINT)


def require_role(here: Host, version: int, *, slot: Slot | None, failover: bool) -> None:
    """Refuse a standby that cannot be read from: too old (`CheckFailed`), or to be promoted first (`Retryable`)."""
    if not here.standby:
        return
    if failover:
        raise Retryable(
            "a standby was reached, and failover = true reads from a primary: waiting until one can be",
            hint=_ATTRS_HINT,
        )
    if slot is not None and slot.synced:
        raise Retryable(
            f"replication slot {slot.name!r} of this standby follows its primary's, and is read when it is promoted",
            hint=f"{_ATTRS_HINT}; to read from the standby itself, give another `slot`",
        )
    if version < STANDBYS:
        raise CheckFailed(
            f"the server is a standby of PostgreSQL {version // 10000}", hint="a standby can be read from 16 on"
        )


def require_timeline(expected: int, timeline: Callable[[], int]) -> None:
    """`Retryable` once a standby has gone over to another timeline, promoted or behind a new primary.

    What was read meanwhile may be of either; opening again finds out, and tells it from a hole.
    """
    now = timeline()
    if now != expected:
        raise Retryable(f"the standby went over to timeline {now} while it was read: opening again")
