"""`python -m benchmarks.writer URL FIRST COUNT RATE`: commits single-row inserts at a steady rate. Measures nothing."""

from __future__ import annotations

import sys
import time

import psycopg

from benchmarks.orders import ROW

INSERT = (
    f"INSERT INTO orders {ROW.replace('first, last', '%s::bigint, %s::bigint').replace('%', '%%').replace('%%s', '%s')}"
)


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
    write(sys.argv[1], int(sys.argv[2]), count=int(sys.argv[3]), rate=float(sys.argv[4]))
