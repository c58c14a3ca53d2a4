"""One transaction of 10 million rows, streamed to JSON: what it takes of memory, and how fast it goes by."""

from __future__ import annotations

from benchmarks import orders
from benchmarks.bench import Bench
from benchmarks.result import Row

NAMES = ("postgres_big_transaction",)
LIMIT_MB = 256


def measure(bench: Bench) -> list[Row]:
    """One run each: the load alone takes minutes."""
    load = orders.load(bench.server, "big", bench.big_rows, step=bench.big_rows)
    ours, _ = bench.stream("json", load)
    theirs = bench.recvlogical(load)
    orders.drop_slot(load, "big_base")
    bench.server.execute("DROP DATABASE big WITH (FORCE)")
    note = f"{load.rows:,} rows in one transaction: {ours.rate:,.0f} rows/s, pg_recvlogical {theirs.rate:,.0f}"
    return [
        Row(
            NAMES[0],
            ours.rss_mb,
            "MB",
            reference="limit",
            reference_value=LIMIT_MB,
            ratio=ours.rss_mb / LIMIT_MB,
            cpu_us_per_event=ours.cpu_us,
            reference_cpu_us_per_event=theirs.cpu_us,
            rss_mb=ours.rss_mb,
            note=note,
        )
    ]
