"""Stream → Python handlers, by the kind of row that they take, against `pg_recvlogical` to nothing."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import RECVLOGICAL, Bench
from benchmarks.result import Row, Run, compared, interleaved

KINDS = {
    "postgres_stream_handlers": "mapping",
    "postgres_stream_handlers_dataclass": "dataclass",
    "postgres_stream_handlers_msgspec": "msgspec",
    "postgres_stream_handlers_pydantic": "pydantic",
}
NAMES = tuple(KINDS)


def measure(bench: Bench) -> list[Row]:
    """All kinds and one reference in each round."""

    def side(kind: str) -> Callable[[], Run]:
        return lambda: bench.stream("handlers", rows=kind)[0]

    sides = {"theirs": bench.recvlogical} | {kind: side(kind) for kind in KINDS.values()}
    runs = interleaved(sides, bench.pairs)
    return [
        compared(name, runs[kind], reference=RECVLOGICAL, theirs=runs["theirs"], note=f"rows as {kind}, one field read")
        for name, kind in KINDS.items()
    ]
