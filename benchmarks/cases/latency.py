"""Commit → handler at 1,000 commits a second, against PostgreSQL's own subscription into a second server."""

from __future__ import annotations

import subprocess
import sys

import psycopg

from benchmarks import orders, rival
from benchmarks.bench import Bench
from benchmarks.result import Row, quantiles
from servers import postgres

NAMES = ("postgres_latency_p50_ms", "postgres_latency_p99_ms")
RATE = 1000
_FIRST, _SUBSCRIBED = 30_000_000, 10_000_000
"""Ids of the first rows that are committed: for ours, and for the subscription."""
SUBSCRIBER = "PostgreSQL's own subscription"


def measure(bench: Bench) -> list[Row]:
    """Ours, then the subscription; the reference's clock is a column default, filled while the row is applied."""
    load = orders.load(bench.server, "latency", 1000)
    slot = bench.slot()
    count, warm_up = bench.commits, bench.commits // 5
    run, ours = bench.run("latency", url=load.url, slot=slot, first=_FIRST, count=count, warm_up=warm_up, rate=RATE)
    orders.drop_slot(load, slot)
    theirs = _subscription(bench, load)
    reached, beside = (orders.rate(load, first + warm_up, count - warm_up) for first in (_FIRST, _SUBSCRIBED))
    note = (
        f"{count - warm_up:,} commits at {reached:,.0f}/s of {RATE:,} asked, {beside:,.0f}/s under the reference, from"
        " the commit's time stamp; walsender and writer not counted"
    )
    rows = [
        Row(
            name,
            ours[quantile],
            "ms",
            reference=SUBSCRIBER,
            reference_value=theirs[quantile],
            ratio=ours[quantile] / theirs[quantile],
            cpu_us_per_event=run.cpu_us,
            rss_mb=run.rss_mb,
            note=note,
        )
        for name, quantile in zip(NAMES, ("p50", "p99"), strict=True)
    ]
    if bench.rivals:
        debezium = rival.latency(load, count=count, warm_up=warm_up, rate=RATE)
        rows += [
            Row(f"debezium_latency_{quantile}_ms", debezium[quantile], "ms", note="JSON, no Kafka")
            for quantile in ("p50", "p99")
        ]
    return rows


def _subscription(bench: Bench, load: orders.Load) -> dict[str, float]:
    with postgres.start(18) as subscriber, psycopg.connect(subscriber.create_database("copy"), autocommit=True) as copy:
        copy.execute(orders.TABLE)
        copy.execute("ALTER TABLE orders ADD received timestamptz DEFAULT clock_timestamp()")
        source = f"host=127.0.0.1 port={bench.server.port} user=postgres dbname={load.database}"
        copy.execute(
            f"CREATE SUBSCRIPTION bench CONNECTION '{source}' PUBLICATION bench WITH (copy_data = false)".encode()
        )
        arguments = [load.url, str(_SUBSCRIBED), str(bench.commits), str(RATE)]
        subprocess.run([sys.executable, "-m", "benchmarks.writer", *arguments], check=True)
        rows: list[tuple[int, float]] = []
        while len(rows) < bench.commits:
            copy.execute("SELECT pg_sleep(0.1)")
            query = "SELECT id, extract(epoch FROM received)::float8 FROM orders WHERE id >= %s"
            rows = copy.execute(query, [_SUBSCRIBED]).fetchall()
        copy.execute("DROP SUBSCRIPTION bench")
    query = "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM orders WHERE id >= %s"
    with psycopg.connect(load.url) as connection:
        committed: dict[int, float] = dict(connection.execute(query, [_SUBSCRIBED]).fetchall())
    return quantiles([received - committed[key] for key, received in sorted(rows)][bench.commits // 5 :])
