"""The process that crash tests kill: one pipeline into a file or into DuckDB, with small batches.

    python -m tests.crash.runner SINK URL TARGET [--until-current]

Prints a line when the sink is open, and one after each write.
"""

import sys
from dataclasses import dataclass
from typing import ClassVar

from tailrace.contract import Sink, Writer
from tailrace.model import Batch, Finding, Limits
from tailrace.pipeline import Pipeline
from tailrace.sink import DuckDB, File
from tailrace.source import Postgres

NAME = "crash"
LIMITS = Limits(
    segment_bytes=16 << 10,
    batch_bytes_max=32 << 10,
    shelf_bytes_max=128 << 10,
    transaction_bytes_max=128 << 10,
    progress_interval_s=0.2,
    backoff_s_max=10.0,
)


def sink(kind: str, target: str) -> Sink:
    """The sink under test."""
    if kind == "duckdb":
        return DuckDB(target)
    return File(target, rotate_bytes=1 << 20, compression="zstd" if target.endswith(".zst") else "none")  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Told:
    """A sink that tells on standard output what another one has done."""

    inner: Sink
    kind: ClassVar[str] = "told"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = True
    truncate: ClassVar[bool] = True

    def check(self) -> list[Finding]:
        return self.inner.check()

    def open(self, name: str, limits: Limits) -> Writer:
        writer = self.inner.open(name, limits)
        write = writer.write

        def told(batch: Batch) -> None:
            write(batch)
            print("snapshot" if batch.snapshot else "stream", len(batch), flush=True)

        writer.write = told  # type: ignore[method-assign]
        print("open", flush=True)
        return writer


def main(kind: str, url: str, target: str, *options: str) -> None:
    source = Postgres(url=url, tables=["public.*"])
    pipeline = Pipeline(source, Told(sink(kind, target)), name=NAME, state_dir=None, limits=LIMITS)
    pipeline.run(until_current="--until-current" in options)


if __name__ == "__main__":
    main(*sys.argv[1:])
