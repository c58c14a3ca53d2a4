"""The process that crash tests kill: one pipeline into a sink of any kind, with small batches.

    python -m tests.crash.runner SINK URL TARGET [--until-current] [--at-most=WRITES]

Prints a line to stderr when the sink is open, and one after each write; rests after as many as it may do. What
`stdout`, `sqlite` and `app` deliver goes to stdout; TARGET is then the folder of their position, of `sqlite` the
database file; of `kafka`, see `topics`.
"""

import itertools
import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tailrace.app import App
from tailrace.checkpoint import SQLite
from tailrace.contract import Sink, Writer
from tailrace.format import Format
from tailrace.model import UNCHANGED, Batch, Change, Finding, Limits, Row
from tailrace.pipeline import Pipeline
from tailrace.sink import DuckDB, File, Stdout
from tailrace.sink.kafka import Kafka
from tailrace.sink.postgres import Postgres as Replica
from tailrace.source import Postgres

NAME = "crash"
UNSENT = "__debezium_unavailable_value"
LIMITS = Limits(
    segment_bytes=16 << 10,
    batch_bytes_max=32 << 10,
    shelf_bytes_max=128 << 10,
    transaction_bytes_max=128 << 10,
    progress_interval_s=0.2,
    save_interval_s=0.1,
    backoff_s_max=10.0,
)


def sink(kind: str, target: str) -> Sink:
    """The sink under test."""
    if kind == "duckdb":
        return DuckDB(target)
    if kind == "postgres":
        return Replica(target)
    if kind in ("stdout", "sqlite"):
        return Stdout()
    if kind == "app":
        return printing()
    if kind.startswith("kafka"):
        return topics(target, transactions=kind == "kafka-transactions")
    return File(target, rotate_bytes=1 << 20, compression="zstd" if target.endswith(".zst") else "none")  # type: ignore[arg-type]


def topics(target: str, *, transactions: bool) -> Kafka:
    """TARGET is `host:port/prefix/folder`: a broker, what topics begin with, and the folder of the position."""
    address, prefix, _ = target.split("/", 2)
    return Kafka(
        f"kafka://{address}",
        format=Format(topic_prefix=prefix),
        create_topics=True,
        transactions=transactions,
        positions_topic=f"{prefix}.positions",
        transactional_id=prefix,
    )


def printing() -> App:
    """Handlers that print what they are called with, in the form of the sinks' lines."""
    app = App("postgresql://", name=NAME)

    def cells(row: Row | None) -> dict[str, object] | None:
        return row and {name: UNSENT if cell is UNCHANGED else cell for name, cell in row.items()}

    @app.on("public.*", retries=0)
    def say(change: Change) -> None:
        value = {"op": change.op, "before": cells(change.before or change.key), "after": cells(change.after)}
        print(json.dumps({"topic": str(change.table), "value": value}), flush=True)

    return app


@dataclass(frozen=True, slots=True)
class Told:
    """A sink that tells on stderr what another one has done."""

    inner: Sink
    transactional: bool
    most: int | None
    """So many writes, if not None, and it rests until it is killed: whoever listens may be late."""
    kind: ClassVar[str] = "told"
    table_like: ClassVar[bool] = True
    truncate: ClassVar[bool] = True

    def check(self) -> list[Finding]:
        return self.inner.check()

    def open(self, name: str, limits: Limits) -> Writer:
        writer = self.inner.open(name, limits)
        write, written = writer.write, itertools.count(1)

        def told(batch: Batch) -> None:
            write(batch)
            print("snapshot" if batch.snapshot else "stream", len(batch), file=sys.stderr, flush=True)
            if next(written) == self.most:
                parent = os.getppid()
                while os.getppid() == parent:  # whoever was to kill it may be gone
                    threading.Event().wait(1)
                os._exit(1)

        writer.write = told  # type: ignore[method-assign]
        print("open", file=sys.stderr, flush=True)
        return writer


def main(kind: str, url: str, target: str, *options: str) -> None:
    source = Postgres(url=url, tables=["public.*"])
    under_test = sink(kind, target)
    state_dir = None if under_test.transactional else Path(target.split("/", 2)[2] if kind == "kafka" else target)
    most = next((int(option.partition("=")[2]) for option in options if option.startswith("--at-most=")), None)
    told = Told(under_test, under_test.transactional, most)
    checkpoint = SQLite(Path(target)) if kind == "sqlite" else None
    if checkpoint is not None:
        state_dir = None
    pipeline = Pipeline(  # type: ignore[call-overload]
        source, told, name=NAME, checkpoint=checkpoint, state_dir=state_dir, limits=LIMITS
    )
    pipeline.run(until_current="--until-current" in options)


if __name__ == "__main__":
    main(*sys.argv[1:])
