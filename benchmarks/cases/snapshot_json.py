"""Snapshot → Debezium JSON against `psql` COPY to nothing; the real Debezium engine on the same table."""

from __future__ import annotations

from benchmarks import rival
from benchmarks.bench import COPY, Bench
from benchmarks.result import Row, compared, interleaved

NAMES = ("postgres_snapshot_json",)


def measure(bench: Bench) -> list[Row]:
    """The pairs, then the rival if asked for."""
    runs = interleaved({"ours": lambda: bench.snapshot("json")[0], "theirs": bench.copy}, bench.pairs)
    rows = [compared(NAMES[0], runs["ours"], reference=COPY, theirs=runs["theirs"])]
    if bench.rivals:
        theirs = rival.snapshot(bench)
        rows.append(compared("debezium_snapshot_json", [theirs], reference=COPY, theirs=runs["theirs"][:1]))
    return rows
