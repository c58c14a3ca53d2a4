"""Pipelines of the demo that tell what they do: a sink that counts, and JSON lines on stdout. Never cleans up after
itself, on purpose: what is killed must find its way back alone.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from tailrace.contract import Sink, Writer
from tailrace.model import Batch, Finding, Limits
from tailrace.pipeline import Pipeline

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


def serve(pipelines: Mapping[str, tuple[Pipeline, Meter]]) -> int:
    """Run all until SIGTERM, telling of each, by the name given here, what it does; 1 when one of them failed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    failed: list[BaseException] = []
    # Daemons: when nobody reads what we tell any more, because the stage was killed, all of this ends with us.
    threads = [
        threading.Thread(target=_run, args=(pipeline, failed), daemon=True) for pipeline, _ in pipelines.values()
    ]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if stopping.wait(_REPORT_S) or failed:
            for pipeline, _ in pipelines.values():
                pipeline.stop()
            for thread in threads:
                thread.join()
        for name, (pipeline, meter) in pipelines.items():
            _report(name, pipeline, meter)
        sys.stdout.flush()
    return 1 if failed else 0


def _run(pipeline: Pipeline, failed: list[BaseException]) -> None:
    try:
        pipeline.run()
    except BaseException as error:
        logging.getLogger("tailrace.demo").exception("pipeline %s failed", pipeline.name)
        failed.append(error)


def _report(name: str, pipeline: Pipeline, meter: Meter) -> None:
    status = pipeline.status()
    report = {
        "pipeline": name,
        "state": status.state,
        "changes": status.changes,
        "partitions": len(status.lags),
        "lags_ms": meter.take(),
        "latest": list(meter.latest),
        "error": status.error,
    }
    sys.stdout.write(json.dumps(report) + "\n")
