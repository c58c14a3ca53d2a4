"""Stream → Arrow record batches against `pg_recvlogical` to nothing."""

from __future__ import annotations

from benchmarks.bench import RECVLOGICAL, Bench
from benchmarks.result import Row, compared, interleaved

NAMES = ("postgres_stream_arrow",)


def measure(bench: Bench) -> list[Row]:
    """The pairs."""
    runs = interleaved({"ours": lambda: bench.stream("arrow")[0], "theirs": bench.recvlogical}, bench.pairs)
    return [compared(NAMES[0], runs["ours"], reference=RECVLOGICAL, theirs=runs["theirs"], note="pyarrow reads them")]
