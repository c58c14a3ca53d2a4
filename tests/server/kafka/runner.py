"""A member in a process of its own, to be killed: `tests.server.kafka.runner ADDRESS TOPIC KIND TARGET STATE`.

It prints a line at its first write, and ends when it has caught up with the word `once` behind these arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tailrace import Pipeline
from tailrace.contract import Sink
from tailrace.model import Batch, Limits
from tailrace.sink.duckdb import DuckDB
from tailrace.sink.postgres import Postgres
from tailrace.source.kafka import Kafka

_KINDS: dict[str, Callable[[str], Sink]] = {"duckdb": DuckDB, "postgres": Postgres}


def _told(batch: Batch) -> Batch:
    if len(batch):
        sys.stdout.write(f"{len(batch)}\n")
        sys.stdout.flush()
    return batch


def main(address: str, topic: str, kind: str, target: str, state: str, *once: str) -> None:
    options = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}
    source = Kafka(f"kafka://{address}/{topic}?group={topic}", options=options)
    limits = Limits(batch_bytes_max=64 << 10, shelf_bytes_max=64 << 10)
    pipeline = Pipeline(
        source, _KINDS[kind](target), name="p", transforms=[_told], state_dir=Path(state), limits=limits
    )
    pipeline.run(until_current=bool(once))


if __name__ == "__main__":
    main(*sys.argv[1:])
