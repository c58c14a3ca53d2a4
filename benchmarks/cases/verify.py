"""PostgreSQL compared with its copy, on a second server and in a DuckDB file, against checksums of whole rows."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks import orders, process
from benchmarks.bench import Bench
from benchmarks.result import Row, Run, compared, interleaved
from servers import postgres

NAMES = ("verify", "verify_duckdb")
CHECKSUM = "SELECT count(*), sum(hashtext(o::text)) FROM orders AS o"


def measure(bench: Bench) -> list[Row]:
    """The pairs; the table is copied once to either target, by a pipeline."""
    return [_replica(bench), _duckdb(bench)]


def _replica(bench: Bench) -> Row:
    with postgres.start(18, settings=orders.SETTINGS) as server:
        target = server.create_database("copy")
        server.execute(orders.TABLE, dbname="copy")
        bench.snapshot("replica", target=target)
        server.execute("VACUUM (FREEZE, ANALYZE) orders", dbname="copy")
        runs = interleaved(
            {
                "ours": lambda: bench.run("verify", url=bench.load.url, target=target)[0],
                "theirs": partial(_checksums, bench, target),
            },
            bench.pairs,
        )
    note = "CPU is that of the client; each server digests its rows on a core of its own"
    reference = "count(*), sum(hashtext(row::text)) on both servers at once"
    return compared(NAMES[0], runs["ours"], reference=reference, theirs=runs["theirs"], note=note)


def _duckdb(bench: Bench) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "copy.duckdb"))
        bench.snapshot("duckdb", path=path, keep=True)
        runs = interleaved(
            {
                "ours": lambda: bench.run("verify", url=bench.load.url, path=path)[0],
                "theirs": lambda: _checksum(bench, bench.load.url),
            },
            bench.pairs,
        )
    note = "the client digests the rows of both; memory includes DuckDB's own"
    reference = "count(*), sum(hashtext(row::text)) on the source alone"
    return compared(NAMES[1], runs["ours"], reference=reference, theirs=runs["theirs"], note=note)


def _checksums(bench: Bench, target: str) -> Run:
    """Both servers at once; it takes as long as the slower one."""
    with ThreadPoolExecutor(2) as pool:
        here, there = pool.map(partial(_checksum, bench), (bench.load.url, target))
    return Run(max(here.seconds, there.seconds), here.cpu_s + there.cpu_s, here.events, max(here.rss_mb, there.rss_mb))


def _checksum(bench: Bench, url: str) -> Run:
    source = bench.server
    command = [str(source.bin("psql")), url, "-qc", CHECKSUM]
    return process.foreign(command, events=bench.load.rows, environment=source.environment(), watch=bench.postmaster)
