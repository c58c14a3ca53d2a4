"""Into a second PostgreSQL, against its own subscription between the same two servers, and against COPY into COPY."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg

from benchmarks import orders, process
from benchmarks.bench import Bench
from benchmarks.orders import Load
from benchmarks.result import Row, Run, compared, interleaved, quantiles
from servers import postgres

NAMES = (
    *("postgres_to_postgres", "postgres_to_postgres_mixed", "postgres_to_postgres_snapshot"),
    *("postgres_to_postgres_latency_p50_ms", "postgres_to_postgres_latency_p99_ms"),
)
RATE = 1000
SUBSCRIPTION = "PostgreSQL's own subscription"
SETTINGS = {"text": "binary = false, streaming = off", "binary": "binary = true, streaming = parallel"}
"""The reference is whichever of these is faster."""


def measure(bench: Bench) -> list[Row]:
    """All pairs, into one target server."""
    with postgres.start(18, settings=orders.SETTINGS) as server:
        target = Target(server, server.create_database("copy"))
        target.execute(orders.TABLE)
        inserts = _pairs(bench, target, bench.load)
        mixed = orders.mixed(bench.server, "mixed", bench.rows // 2)
        target.execute("CREATE TABLE base (LIKE orders)")
        target.pipe(mixed, "base", "base")
        target.base = mixed
        changes = _pairs(bench, target, mixed)
        target.base = None
        copied = interleaved(
            {"ours": lambda: _snapshot(bench, target), "theirs": lambda: _copy(bench, target)}, bench.pairs
        )
        rows = [
            _compared(NAMES[0], inserts, "inserts, 1,000 a transaction"),
            _compared(NAMES[1], changes, "two fifths inserts, two fifths updates, one fifth deletes"),
            compared(NAMES[2], copied["ours"], reference="psql COPY | psql COPY", theirs=copied["theirs"]),
        ]
        return rows + _latency(bench, target)


@dataclass(slots=True)
class Target:
    """The database that rows are brought to."""

    server: postgres.Server
    url: str
    base: Load | None = None
    """The load whose rows are there before a run, copied in the table `base`."""

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def reset(self) -> None:
        """As it was before any run."""
        self.execute("TRUNCATE orders")
        if self.base is not None:
            self.execute("INSERT INTO orders SELECT * FROM base ORDER BY id")
        self.execute("DROP SCHEMA IF EXISTS tailrace CASCADE")
        self.execute("VACUUM (FREEZE, ANALYZE) orders")
        self.execute("CHECKPOINT")

    def pipe(self, load: Load, read: str, write: str) -> Run:
        """COPY a table out piped into COPY in."""
        source = load.server
        environment = source.environment()
        copy_out = [str(source.bin("psql")), load.url, "-qc", f"COPY {read} TO STDOUT"]
        copy_in = [str(source.bin("psql")), self.url, "-qc", f"COPY {write} FROM STDIN"]
        started = time.perf_counter()
        with subprocess.Popen(copy_out, stdout=subprocess.PIPE, env=environment) as reader:
            subprocess.run(copy_in, stdin=reader.stdout, env=environment, check=True)
        seconds = time.perf_counter() - started
        [[rows]] = self.execute(f"SELECT count(*) FROM {write}")
        assert isinstance(rows, int)
        return Run(seconds, 0.0, rows, 0.0)


def _pairs(bench: Bench, target: Target, load: Load) -> dict[str, list[Run]]:
    with psycopg.connect(load.url) as connection:
        last = connection.execute("SELECT max(id) FROM orders").fetchone()
        state = connection.execute(_STATE.encode()).fetchone()
    assert last is not None

    def ours() -> Run:
        target.reset()
        run = bench.stream("replica", load, target=target.url)[0]
        assert target.execute(_STATE) == [state], "the target is not equal to its source"
        return Run(run.seconds, run.cpu_s, load.rows, run.rss_mb, run.walsender_cpu_s)

    def theirs(options: str) -> Run:
        target.reset()
        run = _subscription(bench, target, load, options=options, last=last[0])
        assert target.execute(_STATE) == [state], "the copy of the reference is not equal to its source"
        return run

    sides = {name: lambda options=options: theirs(options) for name, options in SETTINGS.items()}
    return interleaved({"ours": ours, **sides}, bench.pairs)


_STATE = "SELECT count(*), sum(id), sum(quantity), sum(amount) FROM orders"


def _compared(name: str, runs: dict[str, list[Run]], note: str) -> Row:
    fastest = max(SETTINGS, key=lambda setting: sum(run.rate for run in runs[setting]))
    note = f"{note}; its CPU is the apply worker's, ours is Tailrace's without the target's session"
    return compared(name, runs["ours"], reference=f"{SUBSCRIPTION}, {fastest}", theirs=runs[fastest], note=note)


def _subscription(bench: Bench, target: Target, load: Load, *, options: str, last: int) -> Run:
    """From enabling the subscription until the last row can be read."""
    slot = bench.slot()
    orders.copy_slot(load, slot)
    with (
        _subscribed(target, load, f"slot_name = '{slot}', create_slot = false, {options}"),
        psycopg.connect(target.url, autocommit=True) as connection,
        process.walsender_cpu(bench.postmaster) as sending,
        process.walsender_cpu(psutil.Process(target.server.pid), "apply worker") as applying,
    ):
        started = time.perf_counter()
        connection.execute("ALTER SUBSCRIPTION bench ENABLE")
        query = b"SELECT 1 FROM orders WHERE id = %s"
        while connection.execute(query, [last], prepare=True).fetchone() is None:
            time.sleep(0.002)
        seconds = time.perf_counter() - started
    orders.drop_slot(load, slot)
    return Run(seconds, applying[0], load.rows, 0.0, sending[0])


@contextmanager
def _subscribed(target: Target, load: Load, options: str) -> Iterator[None]:
    """A subscription that is not enabled yet, dropped at the end."""
    source = f"host=127.0.0.1 port={load.server.port} user=postgres dbname={load.database}"
    target.execute(
        f"CREATE SUBSCRIPTION bench CONNECTION '{source}' PUBLICATION bench"
        f" WITH (copy_data = false, enabled = false, {options})"
    )
    try:
        yield
    finally:
        target.execute("ALTER SUBSCRIPTION bench DISABLE")
        target.execute("ALTER SUBSCRIPTION bench SET (slot_name = NONE)")
        target.execute("DROP SUBSCRIPTION bench")


def _snapshot(bench: Bench, target: Target) -> Run:
    target.reset()
    return bench.snapshot("replica", target=target.url)[0]


def _copy(bench: Bench, target: Target) -> Run:
    target.reset()
    return target.pipe(bench.load, "orders", "orders")


def _latency(bench: Bench, target: Target) -> list[Row]:
    """From the commit at the source until a reader of the target sees the row, both on one clock."""
    load = orders.load(bench.server, "replica_latency", 1000)
    first, count, warm_up = 30_000_000, bench.commits, bench.commits // 5
    target.reset()
    slot = bench.slot()
    with _watched(target, first, count) as seen:
        arguments = {"count": count, "rate": RATE, "first": first}
        run, _ = bench.run("replica_latency", url=load.url, slot=slot, target=target.url, **arguments)
    orders.drop_slot(load, slot)
    mine = quantiles(_lags(load, seen, first)[warm_up:])
    target.reset()
    slot = bench.slot()
    first *= 2
    orders.copy_slot(load, slot)
    with _subscribed(target, load, f"slot_name = '{slot}', create_slot = false"):
        target.execute("ALTER SUBSCRIPTION bench ENABLE")
        with _watched(target, first, count) as seen:
            command = [sys.executable, "-m", "benchmarks.writer", load.url, str(first), str(count), str(RATE), slot]
            subprocess.run(command, check=True)
    orders.drop_slot(load, slot)
    other = quantiles(_lags(load, seen, first)[warm_up:])
    reached, beside = (orders.rate(load, start + warm_up, count - warm_up) for start in (first // 2, first))
    note = (
        f"{count - warm_up:,} commits at {reached:,.0f}/s of {RATE:,} asked, {beside:,.0f}/s under the reference, from"
        " the commit's time stamp until a reader of the target sees it"
    )
    return [
        Row(
            name, mine[cut], "ms", reference=SUBSCRIPTION, reference_value=other[cut], ratio=mine[cut] / other[cut],
            cpu_us_per_event=run.cpu_us, rss_mb=run.rss_mb, note=note,
        )
        for name, cut in zip(NAMES[3:], ("p50", "p99"), strict=True)
    ]  # fmt: skip


@contextmanager
def _watched(target: Target, first: int, count: int) -> Iterator[list[float]]:
    """When each of `count` rows from `first` could be read; leaves when all were."""
    seen: list[float] = []

    def watch() -> None:
        with psycopg.connect(target.url, autocommit=True) as connection:
            while len(seen) < count:
                row = connection.execute("SELECT max(id) FROM orders", prepare=True).fetchone()
                now = time.time()
                if row is not None and row[0] is not None and row[0] >= first:
                    seen.extend([now] * (row[0] - first + 1 - len(seen)))
                time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen
    watcher.join()


def _lags(load: Load, seen: list[float], first: int) -> list[float]:
    query = "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM orders WHERE id >= %s ORDER BY id"
    with psycopg.connect(load.url) as connection:
        committed = connection.execute(query, [first]).fetchall()
    return [arrived - at for arrived, (at,) in zip(seen, committed, strict=True)]
