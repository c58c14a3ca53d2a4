"""Into a DuckDB file, snapshot against `psql` COPY and stream against `pg_recvlogical`, both to nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.bench import COPY, RECVLOGICAL, Bench
from benchmarks.result import Row, Run, compared, interleaved

NAMES = ("postgres_to_duckdb", "postgres_to_duckdb_stream")


def measure(bench: Bench) -> list[Row]:
    """Both pairs."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "bench.duckdb"))

        def snapshot() -> Run:
            return bench.snapshot("duckdb", path=path)[0]

        def stream() -> Run:
            return bench.stream("duckdb", path=path)[0]

        copied = interleaved({"ours": snapshot, "theirs": bench.copy}, bench.pairs)
        streamed = interleaved({"ours": stream, "theirs": bench.recvlogical}, bench.pairs)
    note = "memory includes DuckDB's own"
    return [
        compared(NAMES[0], copied["ours"], reference=COPY, theirs=copied["theirs"], note=f"snapshot; {note}"),
        compared(NAMES[1], streamed["ours"], reference=RECVLOGICAL, theirs=streamed["theirs"], note=note),
    ]
