"""Stream → Debezium JSON against `pg_recvlogical` to nothing; the real Debezium engine on the same load."""

from __future__ import annotations

from benchmarks import rival
from benchmarks.bench import RECVLOGICAL, Bench
from benchmarks.result import Row, compared, interleaved

NAMES = ("postgres_stream_json",)


def measure(bench: Bench) -> list[Row]:
    """The pairs, then the rival if asked for."""
    runs = interleaved({"ours": lambda: bench.stream("json")[0], "theirs": bench.recvlogical}, bench.pairs)
    rows = [compared(NAMES[0], runs["ours"], reference=RECVLOGICAL, theirs=runs["theirs"])]
    if bench.rivals:
        theirs = rival.stream(bench)
        rows.append(compared("debezium_stream_json", [theirs], reference=RECVLOGICAL, theirs=runs["theirs"][:1]))
    return rows
