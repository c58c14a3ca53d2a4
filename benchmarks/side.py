"""Our side of each benchmark, as `python -m benchmarks.side NAME '{"argument": …}'` in a process of its own.

Prints one line of JSON: seconds, cpu_s, events, rss_mb and `extra` numbers. Never starts a server.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, cast

from benchmarks.meter import Meter, Numbers
from benchmarks.result import quantiles
from tailrace.checkpoint import Memory
from tailrace.contract import Positions, Sink
from tailrace.format import Format
from tailrace.model import Batch, Finding, Limits, Position
from tailrace.pipeline import Pipeline
from tailrace.source import Postgres
from tailrace.source.postgres.place import Lineage, Place, parse_lsn

NAME = "bench"


@dataclass(slots=True)
class Counter:
    """The writer that encodes each batch and throws it away."""

    encode: Callable[[Batch], int]
    events: int = 0
    nbytes: int = 0

    def write(self, batch: Batch) -> None:
        """Encode, count, forget."""
        self.events += len(batch)
        self.nbytes += self.encode(batch)

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class Discard:
    """A sink to nowhere: what remains is reading, decoding and encoding."""

    kind: ClassVar[str] = "discard"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True
    counter: Counter = field(default_factory=lambda: Counter(_json()))

    def check(self) -> list[Finding]:
        """Nowhere lacks nothing."""
        return []

    def open(self, name: str, limits: Limits) -> Counter:
        """See `Sink.open`."""
        return self.counter


def _json() -> Callable[[Batch], int]:
    profile = Format(topic_prefix="shop").profile(NAME)
    return lambda batch: sum(encoded.nbytes for encoded in batch.json(profile))


def _arrow() -> Callable[[Batch], int]:
    import pyarrow

    def encode(batch: Batch) -> int:
        streams = (pyarrow.RecordBatchReader.from_stream(batch.arrow(table)) for table in batch.tables)
        return sum(int(records.nbytes) for stream in streams for records in stream)

    return encode


def json_(*, url: str, slot: str, snapshot: bool = False, readers: int = 1) -> Numbers:
    """To Debezium JSON, thrown away."""
    counter, tell = Counter(_json()), lambda: counter.events
    numbers = _run(Discard(counter), url=url, slot=slot, snapshot=snapshot, readers=readers, events=tell)
    numbers["extra"]["bytes_an_event"] = counter.nbytes / counter.events
    return numbers


def arrow(*, url: str, slot: str, snapshot: bool = False) -> Numbers:
    """To Arrow record batches, thrown away."""
    counter = Counter(_arrow())
    return _run(Discard(counter), url=url, slot=slot, snapshot=snapshot, events=lambda: counter.events)


def duckdb(*, url: str, slot: str, path: str, snapshot: bool = False, keep: bool = False) -> Numbers:
    """Into a DuckDB file, rows and position in the same transactions; removed again, unless to `keep`."""
    import duckdb as engine

    from tailrace.sink import DuckDB

    numbers = _run(DuckDB(path), url=url, slot=slot, snapshot=snapshot, events=lambda: 1)
    with engine.connect(path) as target:
        row = target.execute("SELECT count(*) FROM public.orders").fetchone()
    if not keep:
        Path(path).unlink()
    assert row is not None
    numbers["events"] = row[0]
    return numbers


def handlers(*, url: str, slot: str, rows: str) -> Numbers:
    """To a Python function, with rows as `rows` says."""
    from benchmarks.handlers import Seen, register
    from tailrace.app import App

    app, seen = App(url, name=NAME), Seen()
    register(app, rows, seen)
    numbers = _run(app, url=url, slot=slot, snapshot=False, events=lambda: seen.events)
    assert seen.sum == seen.events * (seen.events + 1) // 2, "the handlers have not seen each row once"
    return numbers


def latency(*, url: str, slot: str, first: int, count: int, warm_up: int, rate: int) -> Numbers:
    """From each commit's time stamp to the call of the handler; the writer is a process of its own."""
    from benchmarks.handlers import Seen, register
    from tailrace.app import App

    app, seen = App(url, name=NAME), Seen(until=count)
    register(app, "latency", seen)
    pipeline = Pipeline(_source(url, slot, snapshot=False, create=True), app, name=NAME, state_dir=None)
    pipeline.checkpoint = Memory()
    seen.done = pipeline.stop
    command = [sys.executable, "-m", "benchmarks.writer", url, str(first), str(count), str(rate), slot]
    with subprocess.Popen(command), Meter() as meter:
        pipeline.run()
    cuts = quantiles(seen.lags_s[warm_up:])
    return meter.numbers(seen.events, **cuts)


def replica(*, url: str, slot: str, target: str, snapshot: bool = False) -> Numbers:
    """Into another PostgreSQL, rows and position in the same transactions."""
    import psycopg

    from tailrace.sink.postgres import Existing
    from tailrace.sink.postgres import Postgres as Replica

    sink = Replica(target, existing=Existing.APPEND)  # the load of mixed changes begins with rows on both sides
    if not snapshot:
        _pretend_to_own_there(sink, slot, url)
    numbers = _run(sink, url=url, slot=slot, snapshot=snapshot, events=lambda: 1)
    with psycopg.connect(target) as connection:
        row = connection.execute("SELECT count(*) FROM public.orders").fetchone()
    assert row is not None
    numbers["events"] = row[0]
    return numbers


def replica_latency(*, url: str, slot: str, target: str, count: int, rate: int, first: int) -> Numbers:
    """Into another PostgreSQL, until `count` rows have arrived; the writer is a process of its own."""
    import threading

    import psycopg

    from tailrace.sink.postgres import Postgres as Replica

    pipeline = Pipeline(_source(url, slot, snapshot=False, create=True), Replica(target), name=NAME, state_dir=None)

    def stop_when_done(writer: subprocess.Popen[bytes]) -> None:
        writer.wait()
        with psycopg.connect(target, autocommit=True) as connection:
            while connection.execute("SELECT 1 FROM orders WHERE id = %s", [first + count - 1]).fetchone() is None:
                connection.execute("SELECT pg_sleep(0.05)")
        pipeline.stop()

    command = [sys.executable, "-m", "benchmarks.writer", url, str(first), str(count), str(rate), slot]
    with subprocess.Popen(command) as writer, Meter() as meter:
        watcher = threading.Thread(target=stop_when_done, args=[writer])
        watcher.start()
        pipeline.run()
        watcher.join()
    return meter.numbers(count)


def verify(*, url: str, target: str = "", path: str = "") -> Numbers:
    """Compare a table that was copied before, all of it equal; nothing runs besides. The copy is in a DuckDB file, if
    there is a `path`, or in PostgreSQL at `target`."""
    from contextlib import ExitStack, closing

    from tailrace.sink import DuckDB
    from tailrace.sink.postgres import Postgres as Replica
    from tailrace.verify import Options, Pipes
    from tailrace.verify import verify as compare

    sink = DuckDB(path) if path else Replica(target)
    source = _source(url, NAME, snapshot=False, create=False)
    with ExitStack() as stack:
        here = stack.enter_context(closing(source.view(NAME)))
        there = stack.enter_context(closing(sink.view(NAME)))
        if (image := sink.image()) is not None:
            stack.callback(image.close)
        meter = stack.enter_context(Meter())
        report = compare(NAME, Pipes(here, there, image, ()), Options(), told=lambda table: None)
    [table] = report.tables
    assert report.exit_code == 0 and table.equal == table.rows, "the copy is not equal to its source"
    return meter.numbers(table.rows)


def run_pipeline(sink: Sink, *, url: str, slot: str, events: Callable[[], int]) -> Numbers:
    """Stream into `sink` until what the source had at its start is written; `events` is asked afterwards."""
    if sink.transactional:
        _pretend_to_own_there(sink, slot, url)
    return _run(sink, url=url, slot=slot, snapshot=False, events=events)


def _run(sink: Sink, *, url: str, slot: str, snapshot: bool, events: Callable[[], int], readers: int = 1) -> Numbers:
    """Run a pipeline until what the source had at its start is written; `events` is asked afterwards."""
    source = replace(_source(url, slot, snapshot=snapshot, create=snapshot), snapshot_readers=readers)
    checkpoint = Memory()
    if not snapshot:
        _pretend_to_own(slot, url, checkpoint)
    pipeline = Pipeline(source, sink, name=NAME, checkpoint=checkpoint, state_dir=None)
    with Meter() as meter:
        pipeline.run(until_current=True)
    return meter.numbers(events())


def _source(url: str, slot: str, *, snapshot: bool, create: bool) -> Postgres:
    mode: Literal["only", "never"] = "only" if snapshot else "never"
    return Postgres(url=url, tables=["public.orders*"], slot=slot, publication=NAME, snapshot=mode, create=create)


def _pretend_to_own(slot: str, url: str, checkpoint: Memory) -> None:
    """Save the position that a pipeline would have that had just made this slot."""
    position = _start(slot, url)
    saved = checkpoint.open(NAME)
    saved.claim(position.lineage)
    saved.save([position])
    saved.close()


def _pretend_to_own_there(sink: Sink, slot: str, url: str) -> None:
    """The same in a target that keeps positions."""
    position = _start(slot, url)
    writer = sink.open(NAME, Limits())
    cast(Positions, writer).claim(position.lineage)
    writer.write(Batch.progress(position))
    writer.close()


def _start(slot: str, url: str) -> Position:
    import psycopg

    sql = """SELECT system_identifier::text, current_database(), confirmed_flush_lsn::text, timeline_id
             FROM pg_control_system(), pg_control_checkpoint(), pg_replication_slots WHERE slot_name = %s"""
    with psycopg.connect(url) as connection:
        row = connection.execute(sql, [slot]).fetchone()
    assert row is not None
    lineage = str(Lineage(row[0], row[1], slot))
    position: Position = Place.progress(parse_lsn(row[2]), row[3]).position(lineage)
    return position


SIDES: dict[str, Callable[..., Numbers]] = {
    "json": json_,
    "arrow": arrow,
    "duckdb": duckdb,
    "handlers": handlers,
    "latency": latency,
    "verify": verify,
    "replica": replica,
    "replica_latency": replica_latency,
}


def _side(name: str) -> Callable[..., Numbers]:
    if name in SIDES:
        return SIDES[name]
    if name.startswith("kafka"):
        from benchmarks import group, topics

        return {**topics.SIDES, **group.SIDES}[name]
    from benchmarks import inner  # imports pyarrow, which must not count as memory of the others

    return inner.SIDES[name]


if __name__ == "__main__":
    print(json.dumps(_side(sys.argv[1])(**json.loads(sys.argv[2]))))
