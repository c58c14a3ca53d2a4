"""`python -m benchmarks.writer URL FIRST COUNT RATE [SLOT]`: commits single-row inserts at a steady rate.

Waits until SLOT is being read, if one is named. Measures nothing.
"""

from __future__ import annotations

import sys
import time

import psycopg

from benchmarks.orders import ROW

INSERT = (
    f"INSERT INTO orders {ROW.replace('first, last', '%s::bigint, %s::bigint').replace('%', '%%').replace('%%s', '%s')}"
)


def wait_for_reader(url: str, slot: str) -> None:
    """Return when somebody streams from `slot`."""
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active"
        while connection.execute(query, [slot]).fetchone() is None:
            connection.execute("SELECT pg_sleep(0.05)")


def write(url: str, first: int, *, count: int, rate: float) -> None:
    """Insert rows `first` … one a transaction; a commit that is late is followed by the next without a pause."""
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        due = time.perf_counter()
        for key in range(first, first + count):
            cursor.execute(INSERT.encode(), [key, key], prepare=True)
            due += 1 / rate
            if (pause := due - time.perf_counter()) > 0:
                time.sleep(pause)


if __name__ == "__main__":
    for reader in sys.argv[5:]:
        wait_for_reader(sys.argv[1], reader)
    write(sys.argv[1], int(sys.argv[2]), count=int(sys.argv[3]), rate=float(sys.argv[4]))
