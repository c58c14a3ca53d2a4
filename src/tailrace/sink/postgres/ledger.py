"""Keeps the positions of pipelines in the target, in `tailrace.position`, and which dead letters were replayed, in
`tailrace.replayed`. Never moves rows.

A claim counts the epoch up and ends the session of whoever claimed before, so that a process which was paused neither
holds locks nor writes again: its next write finds another epoch. A lineage that its holder has yielded ends nobody's
session: several members of a consumer group write side by side, and hand partitions to one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from tailrace.dialect.postgres.fault import told
from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import Fenced
from tailrace.model import Position

__all__ = ["MOVE", "MOVE_MARKED", "Ledger", "saved"]

_CREATE: Final = files(__package__).joinpath("ledger.sql").read_bytes()
_MOVE: Final = (
    b"WITH moved AS (UPDATE tailrace.position SET text = $1, saved_at = pg_catalog.now()"
    b" WHERE name = $2 AND lineage = $3 AND epoch = $4::pg_catalog.int8 RETURNING 1)"
    b" SELECT 1 / pg_catalog.count(*)%s FROM moved"
)
MOVE: Final = _MOVE % b""
"""Moves a position on, first in the transaction: the lock on its row keeps out an older epoch that wakes up later.

It fails (division by zero, 22012) when the epoch is another: whatever was sent behind it is not carried out.
"""
MOVE_MARKED: Final = _MOVE % b", pg_catalog.pg_replication_origin_xact_setup('0/0', $5::pg_catalog.timestamptz)"
"""The same in a session with a replication origin: the transaction is stamped with its commit at the source. Without
that PostgreSQL repeats the time of the session's first commit."""


class Ledger:
    """What the target keeps of one pipeline."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._epochs: dict[str, int] = {}
        self._saved: dict[str, str | None] = {}
        """The text of the position of each lineage that is ours."""

    def create(self) -> None:
        """Make schema and tables where they are missing; a role that may not create finds them made."""
        found = fetch(self._connection, "SELECT pg_catalog.to_regclass('tailrace.replayed')::pg_catalog.text")
        if found == [(None,)]:
            with told("create the schema tailrace in the target"):
                self._connection.execute(_CREATE)

    def positions(self) -> dict[str, Position | None]:
        """Every lineage that was claimed, with its saved position."""
        return saved(self._connection, self._name)

    def moves(self, positions: Sequence[Position]) -> bool:
        """Whether any of these is not where its lineage is saved: dead letters that are replayed do not move it."""
        return any(self._saved.get(position.lineage) != position.text for position in positions)

    def hold(self, positions: Sequence[Position]) -> None:
        """These are saved: the transaction that moved them is committed."""
        self._saved.update((position.lineage, position.text) for position in positions)

    def replayed(self) -> set[Position]:
        """Dead letters that were written, and may still be parked."""
        statement = "SELECT lineage, position FROM tailrace.replayed WHERE name = %(name)s"
        rows = fetch(self._connection, statement, {"name": self._name}, doing="read what was replayed")
        return {Position(lineage, text) for lineage, text in rows}

    def remember_replayed(self, positions: Sequence[Position]) -> None:
        """These dead letters are written, if the transaction of the caller is committed."""
        self._connection.execute(
            "INSERT INTO tailrace.replayed SELECT %s, * FROM unnest(%s::text[], %s::text[])",
            [self._name, *_columns(positions)],
        )

    def forget_replayed(self, positions: Sequence[Position]) -> None:
        """These are parked no longer: nobody will offer them again."""
        with told("forget which dead letters were replayed"):
            self._connection.execute(
                "DELETE FROM tailrace.replayed WHERE name = %s"
                " AND (lineage, position) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
                [self._name, *_columns(positions)],
            )

    def claim(self, lineage: str) -> Position | None:
        """Record a new epoch, end the session that held the one before, return what that one saved last."""
        self._end_holder(lineage)
        statement = (
            "INSERT INTO tailrace.position AS p (name, lineage, epoch, holder, claimed_at) VALUES"
            " (%(name)s, %(lineage)s, 1, pg_catalog.pg_backend_pid(), pg_catalog.clock_timestamp())"
            " ON CONFLICT (name, lineage) DO UPDATE SET epoch = p.epoch + 1, holder = excluded.holder,"
            " claimed_at = excluded.claimed_at"
            " RETURNING epoch, text"
        )
        names = {"name": self._name, "lineage": lineage}
        [[epoch, text]] = fetch(self._connection, statement, names, doing=f"claim {lineage} in the target")
        self._epochs[lineage], self._saved[lineage] = epoch, text
        return None if text is None else Position(lineage, text)

    def yield_up(self, lineages: Sequence[str]) -> None:
        """Nobody holds these any more, unless another has claimed them since; whoever writes them must claim again."""
        held = {name: epoch for name in lineages if (epoch := self._epochs.pop(name, None)) is not None}
        if not held:
            return
        with told("give up what another member goes on with"):
            self._connection.execute(
                "UPDATE tailrace.position AS p SET holder = 0"
                " FROM unnest(%s::text[], %s::pg_catalog.int8[]) AS ours (lineage, epoch)"
                " WHERE p.name = %s AND p.lineage = ours.lineage AND p.epoch = ours.epoch",
                [list(held), list(held.values()), self._name],
            )

    def moved(self, position: Position) -> list[bytes]:
        """What `MOVE` is given to save `position`."""
        epoch = self._epochs.get(position.lineage, 0)
        return [position.text.encode(), self._name.encode(), position.lineage.encode(), str(epoch).encode()]

    def move(self, lineage: str, position: Position) -> None:
        """Save `position` in place of `lineage`, under the same epoch; `Fenced` when that is another's."""
        epoch = self._epochs.get(lineage, 0)
        statement = (
            "UPDATE tailrace.position SET lineage = %(to)s, text = %(text)s, saved_at = pg_catalog.now()"
            " WHERE name = %(name)s AND lineage = %(lineage)s AND epoch = %(epoch)s RETURNING 1"
        )
        values = {"to": position.lineage, "text": position.text, "name": self._name, "lineage": lineage, "epoch": epoch}
        if not fetch(self._connection, statement, values, doing=f"move {lineage} in the target"):
            raise Fenced(
                f"another process has claimed {lineage} of the pipeline {self._name!r} since",
                hint="let that one go on; this one stops",
            )
        self._epochs[position.lineage], self._saved[position.lineage] = epoch, position.text

    def fenced(self, connection: Connection) -> bool:
        """Whether a newer epoch exists, asked through `connection` because ours is gone."""
        statement = "SELECT lineage, epoch FROM tailrace.position WHERE name = %(name)s"
        rows = fetch(connection, statement, {"name": self._name})
        return any(epoch > self._epochs.get(lineage, epoch) for lineage, epoch in rows)

    def forget(self) -> None:
        """Remove every claim and position; target tables and what is known of them stay."""
        with told("forget the position in the target"), self._connection.transaction():
            self._connection.execute("DELETE FROM tailrace.position WHERE name = %s", [self._name])
            self._connection.execute("DELETE FROM tailrace.replayed WHERE name = %s", [self._name])

    def _end_holder(self, lineage: str) -> None:
        """End the other session that holds the claim, if it lives: it may hold locks, and its epoch is over."""
        statement = (
            "SELECT pg_catalog.pg_terminate_backend(a.pid, 10000)"
            " FROM tailrace.position p JOIN pg_catalog.pg_stat_activity a ON a.pid = p.holder"
            " WHERE p.name = %(name)s AND p.lineage = %(lineage)s AND a.pid <> pg_catalog.pg_backend_pid()"
            " AND a.usename = current_user AND a.datname = current_database() AND a.backend_start <= p.claimed_at"
        )
        fetch(self._connection, statement, {"name": self._name, "lineage": lineage}, doing="end the session before")


def saved(connection: Connection, name: str) -> dict[str, Position | None]:
    """What is saved of pipeline `name`; empty where nothing ever was."""
    if fetch(connection, "SELECT pg_catalog.to_regclass('tailrace.position')::pg_catalog.text") == [(None,)]:
        return {}
    rows = fetch(connection, "SELECT lineage, text FROM tailrace.position WHERE name = %(name)s", {"name": name})
    return {lineage: None if text is None else Position(lineage, text) for lineage, text in rows}


def _columns(positions: Sequence[Position]) -> tuple[list[str], list[str]]:
    return [position.lineage for position in positions], [position.text for position in positions]
