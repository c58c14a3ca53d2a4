"""Finds the place of a saved position on the server that pg_upgrade made of the one that it was read from.

pg_upgrade (from 17 on) refuses unless the old server was shut down cleanly and each slot had been read to its end. Then
it begins a new log, at a segment above the old one's, and makes the slots anew right there, before anybody can write.
So a slot continues the saved position without a gap if the log begins in its segment, above that position, and no
transaction wrote between; any other was made by hand or was read since. Never changes anything, never starts a stream.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from tailrace.dialect.postgres.session import Connection, Login, connect, fetch
from tailrace.error import Fatal, HistoryLost, Retryable
from tailrace.model import Position
from tailrace.source.postgres import host, publication, slot, wal
from tailrace.source.postgres.fault import RESET_HINT
from tailrace.source.postgres.place import Lineage, Place, format_lsn
from tailrace.source.postgres.resume import check_slot
from tailrace.source.postgres.slot import Slot
from tailrace.source.postgres.walsender import Walsender

if TYPE_CHECKING:
    from tailrace.source.postgres.config import Postgres
    from tailrace.source.postgres.opening import Names

_log = logging.getLogger("tailrace.source.postgres")
_SLOTS_MIGRATE = 170000
_SIZES = "SELECT pg_size_bytes(current_setting('wal_segment_size')), current_setting('wal_block_size')::int"


def successor(source: Postgres, names: Names, saved: Mapping[str, Position | None]) -> tuple[Position, Position]:
    """See `Succeeded.successor`."""
    with (
        closing(connect(source.login)) as side,
        closing(Walsender(source.login, frame_bytes_max=wal.FRAME_BYTES_MAX)) as walsender,
    ):
        here = host.load(side)
        host.require_same(here, walsender.host())
        if here.standby:
            raise Fatal(
                "the server is a standby", hint="name its primary in the url: that is the one that was upgraded"
            )
        identity = walsender.identify()
        lineage = Lineage(identity.system, identity.database, names.slot)
        position = _saved(saved, lineage)
        if position.lineage == str(lineage):
            return position, position
        found = _slot(side, lineage)
        _require_publication(side, names.publication)
        place = Place.of(position)
        stands = _require_fresh(side, place, found, login=source.login)
        _log.info("saved is %s; slot %s begins at %s", format_lsn(place.end), found.name, format_lsn(stands))
        return position, Place.progress(stands, identity.timeline).position(str(lineage))


def _saved(saved: Mapping[str, Position | None], lineage: Lineage) -> Position:
    """The one position that can be meant."""
    if not saved:
        raise Fatal("nothing is saved, so there is nothing to adopt", hint="`tailrace run` starts the pipeline")
    if len(saved) > 1:
        raise Fatal(f"which position to adopt is not clear: saved are those of {', '.join(saved)}", hint=RESET_HINT)
    ((text, position),) = saved.items()
    old = Lineage.parse(text)
    if (old.database, old.slot) != (lineage.database, lineage.slot):
        raise Fatal(
            f"the saved position is of database {old.database!r} and slot {old.slot!r}, but the source reads"
            f" {lineage.database!r} through {lineage.slot!r}",
            hint="pg_upgrade keeps both names: is this the right url?",
        )
    if position is None or not Place.of(position).snapshot_complete:
        raise Fatal("the snapshot was not complete, so there is no place to go on from", hint=RESET_HINT)
    return position


def _slot(side: Connection, lineage: Lineage) -> Slot:
    version = side.info.server_version
    found = slot.load(side, lineage.slot)
    if version < _SLOTS_MIGRATE or found is None:
        raise HistoryLost(
            f"replication slot {lineage.slot!r} was not brought to this server (PostgreSQL {version // 10000})",
            hint=f"pg_upgrade brings slots from PostgreSQL 17 on, if each was read to its end; {RESET_HINT}",
        )
    check_slot(found, lineage.database)
    if found.active_pid is not None:
        raise Retryable(f"replication slot {found.name!r} is active for PID {found.active_pid}: somebody reads it")
    if found.invalidation is not None or found.confirmed is None or found.temporary:
        reason = found.invalidation or "it is not one that stays"
        raise HistoryLost(f"replication slot {found.name!r} cannot be used: {reason}", hint=RESET_HINT)
    return found


def _require_publication(side: Connection, name: str) -> None:
    if publication.load(side, name) is None:
        raise HistoryLost(f"publication {name!r} does not exist on this server", hint=RESET_HINT)


def _require_fresh(side: Connection, place: Place, found: Slot, *, login: Login) -> int:
    """Where the slot stands, if nobody wrote between the beginning of this server's log and that."""
    ((segment_bytes, page_bytes),) = fetch(side, _SIZES)
    stands = found.confirmed or 0
    begin = stands - stands % segment_bytes
    if begin < place.end:
        raise HistoryLost(
            f"the log of this server begins at or before {format_lsn(stands)}, and {format_lsn(place.end)} is saved:"
            " it is not the upgrade of the server that was read",
            hint=f"dump and restore make a server of its own; {RESET_HINT}",
        )
    if stands - begin > page_bytes or not _untouched(login, begin, stands):
        raise HistoryLost(
            f"replication slot {found.name!r} stands at {format_lsn(stands)}, not where pg_upgrade makes slots: it was"
            " made by hand or read since, and what lies before it is not known",
            hint=RESET_HINT,
        )
    return stands


def _untouched(login: Login, begin: int, end: int) -> bool:
    """A log begins with the records between, and no transaction wrote any of them."""
    with closing(Walsender(login, frame_bytes_max=wal.FRAME_BYTES_MAX)) as walsender:
        head = list(wal.records(walsender, begin, end))
    return bool(head) and head[0].before == 0 and all(record.xid == 0 for record in head)
