"""A sink that waits for longer than the server waits for a sign of life, while the server cannot get rid of its log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import psycopg
import pytest

import tailrace as tr
from servers import postgres
from tailrace.contract import Sink
from tests.background import running
from tests.waiting import until

ROWS, EACH = 20_000, 100
"""In transactions of `EACH` rows of a kilobyte: some 20 MB, and more than sockets buffer."""
SMALL = tr.Limits(shelf_bytes_max=256 << 10, batch_bytes_max=256 << 10, segment_bytes=64 << 10, save_interval_s=0.1)
TIMEOUT_S, STANDS_S = 12, 36
"""`wal_sender_timeout`, and for how long the walsender is stuck: three of them."""
PATIENCE_S = 180.0


@dataclass
class Gate:
    """What a write waits at. It is held back from the first on that has rows, until the test opens it."""

    opened: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE_S)


class Handlers:
    """An App whose handler waits."""

    def __init__(self, gate: Gate, folder: Path) -> None:
        self.seen: list[int] = []
        self.sink = tr.App("postgresql://", name="stuck")

        @self.sink.on("public.orders")
        def note(changes: list[tr.Change]) -> None:
            gate()
            self.seen += [change.key["id"] for change in changes]

    def ids(self) -> list[int]:
        """Of the changes that arrived, as they came."""
        return self.seen


class Tables:
    """DuckDB, whose `write` waits."""

    def __init__(self, gate: Gate, folder: Path) -> None:
        self.path = folder / "shop.duckdb"
        self.sink = Waiting(tr.sink.DuckDB(self.path), gate)

    def ids(self) -> list[int]:
        """Of the rows that arrived."""
        with duckdb.connect(str(self.path)) as database:
            return [row[0] for row in database.execute("SELECT id FROM public.orders ORDER BY id").fetchall()]


@dataclass(frozen=True)
class Waiting:
    """`behind`, with a gate before each write of rows."""

    behind: Any
    gate: Gate
    kind: ClassVar[str] = "waiting"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = True
    truncate: ClassVar[bool] = True

    def check(self) -> list[tr.Finding]:
        """That of the sink behind."""
        found: list[tr.Finding] = self.behind.check()
        return found

    def open(self, name: str, limits: tr.Limits) -> Any:
        """The writer of the sink behind, whose `write` has the gate before it."""
        writer = self.behind.open(name, limits)
        write = writer.write

        def wait_and_write(batch: tr.Batch) -> None:
            if len(batch):
                self.gate()
            write(batch)

        writer.write = wait_and_write
        return writer


def _sender(shop: psycopg.Connection) -> tuple[int, str, int] | None:
    """The walsender's PID, how far it has sent, and how many bytes of log are behind that."""
    query = "SELECT pid, sent_lsn::text, (pg_current_wal_lsn() - sent_lsn)::bigint FROM pg_stat_replication"
    query += " WHERE state = 'streaming'"  # before that it makes the slot
    return shop.execute(query).fetchone()


def _stands_still(shop: psycopg.Connection) -> tuple[int, int]:
    """Return when the walsender has sent nothing for `STANDS_S` by the server's clock: its PID, and what is left."""
    seen: list[Any] = [None, None]

    def still() -> bool:
        row = shop.execute("SELECT pid, sent_lsn, clock_timestamp() FROM pg_stat_replication").fetchone()
        assert row is not None, "there is no walsender any more"
        if row[:2] != seen[0]:
            seen[:] = row[:2], row[2]
        return bool((row[2] - seen[1]).total_seconds() > STANDS_S)

    until(still, "for the walsender to stand still", timeout_s=PATIENCE_S)
    sender = _sender(shop)
    assert sender is not None
    return sender[0], sender[2]


def _confirmed(shop: psycopg.Connection, mark: str) -> bool:
    """The slot has no need any more of what was in the log at `mark`."""
    query = "SELECT bool_and(confirmed_flush_lsn >= %s) FROM pg_replication_slots"
    row = shop.execute(query, [mark]).fetchone()
    return row == (True,)


@pytest.mark.parametrize("make", [Handlers, Tables])
def test_i11_a_sink_stuck_for_three_timeouts_costs_neither_the_connection_nor_a_row(
    start_postgres: Callable[..., postgres.Server], tmp_path: Path, make: type[Handlers | Tables]
) -> None:
    server = start_postgres(18, settings={"wal_sender_timeout": f"{TIMEOUT_S}s"})
    gate = Gate()
    target = make(gate, tmp_path)
    sink: Sink = target.sink
    with psycopg.connect(server.url, autocommit=True) as shop:
        shop.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        source = tr.source.Postgres(server.url, tables=["public.orders"], snapshot="never")
        pipeline = tr.Pipeline(source, sink, name="stuck", limits=SMALL, state_dir=tmp_path)
        with running(pipeline):
            until(lambda: _sender(shop), "for the stream")
            for first in range(1, ROWS, EACH):
                shop.execute(
                    "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(%s::int, %s) AS i",
                    [first, first + EACH - 1],
                )
            [(end,)] = shop.execute("SELECT pg_current_wal_lsn()::text").fetchall()
            until(gate.reached.is_set, "for the sink to be reached")
            try:
                stuck, unsent = _stands_still(shop)
            finally:
                gate.opened.set()
            assert unsent > 1 << 20, "it had sent all that there was: nothing held it back"
            until(lambda: _confirmed(shop, end), "for the last row to be confirmed")
            sender = _sender(shop)
            assert sender is not None and sender[0] == stuck, "another walsender: the connection was lost"
    assert target.ids() == list(range(1, ROWS + 1)), "each row once"
