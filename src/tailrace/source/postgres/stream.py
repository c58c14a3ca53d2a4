"""The open source: first the snapshot, if there is one, then the log. Never decides where to begin; `opening` did."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from tailrace._native import Relation, Select
from tailrace.dialect.postgres.fault import first_line, lost
from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import EndOfStream, HistoryLost, Retryable
from tailrace.model import Batch, Position, Table
from tailrace.source.postgres import catalog, pattern, query
from tailrace.source.postgres.catalog import Described
from tailrace.source.postgres.fault import Undecoded, broken
from tailrace.source.postgres.guardian import Guardian
from tailrace.source.postgres.place import Lineage, Place
from tailrace.source.postgres.publication import published
from tailrace.source.postgres.receiver import Receiver
from tailrace.source.postgres.snapshot import Snapshot

_log = logging.getLogger("tailrace.source.postgres")
_VISIBLE_S = 10.0
"""How long what a transaction has made is waited for. Not for ever: it may be we whom its commit waits for, as one of
`synchronous_standby_names`."""
_VISIBLE_AGAIN_S = 1.0
"""Once that was in vain, until something is shown in time again: each commit would stand still for so long."""
_LISTS = 150000
_CATALOG_XMIN = "SELECT max(catalog_xmin::text) FROM pg_replication_slots WHERE slot_name = %(slot)s"
T = TypeVar("T")


class Describer:
    """Answers what table a relation of the stream is; warns of one that was published only later."""

    def __init__(
        self,
        connection: Connection,
        publication: str,
        *,
        globs: Sequence[str] | None,
        slot: str,
        settle: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._settle = settle
        self._publication = publication
        self._globs = globs
        self._expected = {str(table) for table in published(connection, publication)}
        # What was added before this the target has seen, or it was left out of what it gets: it is not new there.
        [[self._since]] = fetch(connection, _CATALOG_XMIN, {"slot": slot})
        self._visible: int | None = None
        """The last transaction that the catalog shows, or is not waited for any more."""
        self._awaited: tuple[int, float] | None = None
        """The transaction that it does not show yet, and since when it has been waited for."""
        self._patience_s = _VISIBLE_S

    def __call__(self, relation: Relation) -> tuple[Table, bool] | None:
        """The table version that rows under this Relation message belong to, and whether the catalog has shown all of
        it; None when it has yet to be asked again. `Retryable` when cut off."""
        self._settle()
        if relation.xid is not None and not self._shows(relation.xid):
            return None
        described = Described(
            relation.oid,
            relation.schema,
            relation.name,
            relation.replica_identity,
            relation.columns,
            frozenset(relation.nullable),
        )
        listed = self._listed(relation.oid)
        [(table, settled)] = catalog.described(self._connection, [described], self._since, listed=listed)
        captured = self._globs is None or pattern.matches(str(table), self._globs)
        if captured and str(table) not in self._expected:
            self._expected.add(str(table))
            _log.warning(
                "%s came into publication %s while it was read: streamed from now on, its rows from before are not in",
                table,
                self._publication,
            )
        return table, settled

    def _listed(self, oid: int) -> str | None:
        """The transaction that last said what of a table is published, if any did: it may have let in columns."""
        if self._connection.info.server_version < _LISTS:
            return None
        asked = {"oid": oid, "publication": self._publication}
        rows = fetch(self._connection, query.load("listed"), asked)
        return rows[0][0] if rows else None

    def _shows(self, xid: int) -> bool:
        """Whether the catalog shows what a transaction has done that has committed in the log."""
        if xid == self._visible:
            return True
        [[visible]] = fetch(self._connection, query.load("visible"), {"xid": str(xid)})
        now = time.monotonic()
        if self._awaited is None or self._awaited[0] != xid:
            self._awaited = xid, now
        if not visible:
            if now - self._awaited[1] < self._patience_s:
                return False
            _log.warning(
                "transaction %d has committed in the log, and after %.0f s the server does not show it yet (does it"
                " wait for a synchronous standby?): its tables are taken for what they were before it",
                xid, self._patience_s,
            )  # fmt: skip
        self._patience_s = _VISIBLE_S if visible else _VISIBLE_AGAIN_S
        self._visible = xid
        return True


@dataclass(slots=True)
class Opened:
    """What `opening` hands over: parts that are open, and how to begin.

    `first` is told before anything else: where the stream begins. `follow` starts the log; None ends after the
    snapshot. `keep` selects tables, if not all are wanted. `watches` raise when what was read may not be handed on.
    `give_up` makes the next `open` begin anew when the history is lost meanwhile; None when a human must decide that.
    `decode_less` asks less of the server in the next `open`; None when nothing less can be asked.
    `guardian` watches what the slot keeps, if anybody asked for that.
    """

    lineage: Lineage
    begin: Place
    snapshot: Snapshot | None
    follow: Callable[[], Receiver] | None
    first: Batch | None = None
    keep: Select | None = None
    watches: Sequence[Callable[[], None]] = ()
    give_up: Callable[[HistoryLost], Retryable] | None = None
    decode_less: Callable[[Undecoded], Retryable] | None = None
    guardian: Guardian | None = None
    resources: ExitStack = field(default_factory=ExitStack)


class PostgresStream:
    """A `Stream` (contract.py) of one slot, of one lineage."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._snapshot = opened.snapshot
        self._first = opened.first
        # A stream that begins at once complains at once; one behind a snapshot is connected when that is read.
        self._receiver: Receiver | None = None
        self._closed = False
        if opened.follow is not None and opened.snapshot is None:
            self._receiver = self._unless_lost(opened.follow)

    def read(self, timeout_s: float) -> Batch | None:
        """See `Stream.read`."""
        self._unless_lost(self._guard)
        if self._snapshot is not None:
            return self._read_snapshot(self._snapshot, timeout_s)
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._opened.follow is None:
            raise EndOfStream
        receiver = self._receiver = self._receiver or self._unless_lost(self._opened.follow)
        if receiver.finished:
            raise EndOfStream
        batch = self._unless_lost(lambda: receiver.read(timeout_s))
        if batch is not None:
            for watch in self._opened.watches:
                watch()
        keep = self._opened.keep
        return batch if batch is None or keep is None else keep(batch)

    def tend(self) -> None:
        """See `Stream.tend`; a COPY waits without being told."""
        self._unless_lost(self._guard)
        if self._receiver is not None:
            self._receiver.tend()

    def confirm(self, positions: Sequence[Position]) -> None:
        """See `Stream.confirm`."""
        receiver = self._receiver
        if receiver is None:
            return
        for position in positions:
            if position.lineage == str(self._opened.lineage):
                receiver.confirm(Place.of(position).end)

    def lag_bytes(self) -> int | None:
        """See `Measured.lag_bytes`; unknown until the log is read."""
        return self._receiver.lag_bytes() if self._receiver is not None else None

    def measured_at(self) -> float | None:
        """See `Dated.measured_at`."""
        return self._receiver.measured_at if self._receiver is not None else None

    def release(self, lineages: Sequence[str]) -> None:
        """See `Stream.release`; nothing is ever revoked here."""

    def close(self) -> None:
        """See `Stream.close`."""
        if self._closed:
            return
        self._closed = True
        with self._opened.resources:
            if self._snapshot is not None:
                self._snapshot.close()
            if self._receiver is not None:
                self._receiver.close()

    def _guard(self) -> None:
        guardian = self._opened.guardian
        if guardian is not None and guardian.exceeded():
            if self._snapshot is not None:
                self._snapshot.close()
            if self._receiver is not None:
                self._receiver.close()
            raise guardian.end()

    def _unless_lost(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except Retryable as error:
            # The connection on the side hears of the end as soon as the stream does: one fault, one message.
            if self._receiver is None or (cause := lost(error.__cause__)) is None:
                raise
            raise Retryable(f"{broken(self._opened.lineage.slot)}: {first_line(cause)}") from error
        except Undecoded as error:
            if self._opened.decode_less is None:
                raise
            raise self._opened.decode_less(error) from error
        except HistoryLost as gone:
            if self._opened.give_up is None:
                raise
            if self._receiver is not None:
                self._receiver.close()  # or the slot stays in use
            raise self._opened.give_up(gone) from gone

    def _read_snapshot(self, snapshot: Snapshot, timeout_s: float) -> Batch | None:
        if not snapshot.done:
            return snapshot.read(timeout_s)
        snapshot.close()
        self._snapshot = None
        _log.info("the snapshot is complete")
        return Batch.progress(self._opened.begin.position(str(self._opened.lineage)))
