"""Snapshot of four tables → Debezium JSON with readers that read ahead, against one that reads table after table."""

from __future__ import annotations

import psycopg

from benchmarks import orders
from benchmarks.bench import Bench
from benchmarks.orders import Load
from benchmarks.result import Row, compared, interleaved

NAMES = ("postgres_snapshot_readers",)
READERS = 4


def measure(bench: Bench) -> list[Row]:
    """The pairs. Where the server has no core to itself, more readers wait for one another."""
    load = _load(bench)
    runs = interleaved(
        {
            "ahead": lambda: bench.snapshot("json", load, readers=READERS)[0],
            "one": lambda: bench.snapshot("json", load, readers=1)[0],
        },
        bench.pairs,
    )
    note = f"{READERS} tables, snapshot_readers = {READERS}"
    return [compared(NAMES[0], runs["ahead"], reference="snapshot_readers = 1", theirs=runs["one"], note=note)]


def _load(bench: Bench) -> Load:
    load = orders.load(bench.server, "readers", bench.rows // READERS)
    with psycopg.connect(load.url, autocommit=True) as connection:
        for number in range(1, READERS):
            connection.execute(f"CREATE TABLE orders_{number} (LIKE orders INCLUDING ALL)")
            connection.execute(f"INSERT INTO orders_{number} SELECT * FROM orders")
            connection.execute(f"ALTER PUBLICATION bench ADD TABLE orders_{number}")
        connection.execute("VACUUM (FREEZE, ANALYZE)")
    return load
