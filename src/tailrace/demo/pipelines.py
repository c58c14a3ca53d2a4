"""The demo's two pipelines in one process, which is killed and started again. Never cleans up after itself, on purpose.

Run as `python -m tailrace.demo.pipelines URL FOLDER`; each report is a JSON line: state, changes, lags, latest events.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tailrace.contract import Sink, Source, Writer
from tailrace.demo import projection
from tailrace.model import Batch, Finding, Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.duckdb import DuckDB
from tailrace.source.postgres import Postgres

NAMES = ("duckdb", "handler")
"""The two pipelines; their slots are `tailrace_<name>`."""

_REPORT_S = 0.2
_LATEST = 4


@dataclass(slots=True)
class Meter:
    """What one pipeline delivered: changes by lag (commit to durable, in ms) since the last report; latest events."""

    lags_ms: Counter[int] = field(default_factory=Counter)
    latest: deque[str] = field(default_factory=lambda: deque(maxlen=_LATEST))

    def count(self, batch: Batch) -> None:
        """Called when `batch` is durable."""
        now = time.time()
        size = len(batch)
        for change in batch:
            if change.op != "r":
                self.lags_ms[max(1, round(1000 * (now - change.committed_at.timestamp())))] += 1
        for index in range(max(0, size - _LATEST), size):
            change = batch[index]
            self.latest.append(f"{change.op} {change.table.name} {','.join(map(str, (change.key or {}).values()))}")

    def take(self) -> dict[int, int]:
        """The lags since the last call."""
        taken, self.lags_ms = self.lags_ms, Counter()
        return taken


@dataclass(frozen=True, slots=True)
class Metered:
    """A sink that counts what its inner sink has made durable."""

    inner: Sink
    meter: Meter
    kind: str
    transactional: bool
    table_like: bool
    truncate: bool

    def check(self) -> list[Finding]:
        """See `Sink.check`."""
        return self.inner.check()

    def open(self, name: str, limits: Limits) -> MeteredWriter:
        """See `Sink.open`."""
        return MeteredWriter(self.inner.open(name, limits), self.meter)


class MeteredWriter:
    """The inner writer in every way, save that `write` counts."""

    def __init__(self, inner: Writer, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter

    def write(self, batch: Batch) -> None:
        """See `Writer.write`."""
        self._inner.write(batch)
        self._meter.count(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def metered(sink: Sink, meter: Meter) -> Sink:
    """`sink`, counted by `meter`."""
    made = Metered(sink, meter, sink.kind, sink.transactional, sink.table_like, sink.truncate)
    return cast(Sink, made)  # instances answer here for what the contract asks of the class


def main(url: str, folder: Path) -> int:
    """Run both until SIGTERM; 1 when one of them failed."""
    meters = [Meter() for _ in NAMES]
    sources: list[Source] = [Postgres(url=url, tables=["shop.*"]) for _ in NAMES]
    handlers = projection.app(sources[1], NAMES[1], folder / "handler.sqlite")
    sinks: list[Sink] = [DuckDB(folder / "copy.duckdb"), handlers]
    pipelines = [
        Pipeline(source, metered(sink, meter), name=name, state_dir=folder / "state")
        for source, sink, meter, name in zip(sources, sinks, meters, NAMES, strict=True)
    ]
    failed: list[BaseException] = []
    threads = [threading.Thread(target=_run, args=(pipeline, failed), name=pipeline.name) for pipeline in pipelines]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if stopping.wait(_REPORT_S) or failed:
            for pipeline in pipelines:
                pipeline.stop()
            for thread in threads:
                thread.join()
        _report(pipelines, meters)
    return 1 if failed else 0


def _run(pipeline: Pipeline, failed: list[BaseException]) -> None:
    try:
        pipeline.run()
    except BaseException as error:
        logging.getLogger("tailrace.demo").exception("pipeline %s failed", pipeline.name)
        failed.append(error)


def _report(pipelines: Sequence[Pipeline], meters: Sequence[Meter]) -> None:
    for pipeline, meter in zip(pipelines, meters, strict=True):
        status = pipeline.status()
        report = {
            "pipeline": status.name,
            "state": status.state,
            "changes": status.changes,
            "lags_ms": meter.take(),
            "latest": list(meter.latest),
            "error": status.error,
        }
        sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
