"""The demo's shop at work: a process that trades at a steady rate and reports what it committed. Never reads changes.

Run as `python -m tailrace.demo.writer URL ROWS_PER_SECOND SECONDS`; each report is a JSON line.
"""

from __future__ import annotations

import json
import sys
import time

import psycopg

_REPORT_S = 0.2


def trade(url: str, rate: float, seconds: float) -> None:
    """Commit about `rate` row changes a second for `seconds`, at most as fast as the server can."""
    rows = transactions = 0
    started = reported = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        while (now := time.monotonic()) < started + seconds:
            if rows > rate * (now - started):
                time.sleep(0.005)  # ahead of the rate that was asked for
            else:
                row = connection.execute("SELECT shop.trade()", prepare=True).fetchone()
                rows += row[0] if row else 0
                transactions += 1
            if now - reported >= _REPORT_S:
                reported = now
                _report(rows, transactions)
    _report(rows, transactions)


def _report(rows: int, transactions: int) -> None:
    sys.stdout.write(json.dumps({"rows": rows, "transactions": transactions}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    trade(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
