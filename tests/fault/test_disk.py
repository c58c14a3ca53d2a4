"""A disk is full: a tmpfs of a few megabytes stands for it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from servers.postgres import Server
from tests.fault.conftest import MakeDisk, MakePipe, MakeTraffic
from tests.fault.disk import Disk
from tests.fault.pipe import Pipe
from tests.fault.row import fault, goes_on, stops, waits
from tests.waiting import until

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]


@fault("no space for a large transaction", "Tailrace: `spill_dir`", stops(
    1, "a large transaction could not be spilled to …: No space left on device (os error 28)",
    "goes on after room was made, nothing lost",
))  # fmt: skip
def test_no_space_to_spill(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, execute: Execute, make_disk: MakeDisk
) -> None:
    disk = make_disk("2m")
    pipe = make_pipe(database, "duckdb", limits={"spill_dir": str(disk.path)})
    running = traffic(database, writers=(1,))
    pipe.start()
    pipe.catch_up()
    running.stop()
    execute(
        database,
        "WITH of AS (INSERT INTO log VALUES (2, 1)) INSERT INTO entries SELECT 2, 1, n, 60000"
        " FROM generate_series(1, 60000) n",
    )
    running.adds(2, 1)
    pipe.stops(running)
    subprocess.run(["mount", "-o", "remount,size=64m", disk.path], check=True)
    pipe.resumes(running)


@pytest.mark.parametrize("kind", [
    pytest.param("file", marks=fault("no space at the target", "file sink", waits("…: No space left on device"))),
    pytest.param("duckdb", marks=fault("no space at the target", "DuckDB sink", waits("…: the disk is full"))),
])  # fmt: skip
def test_no_space_at_the_target(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, make_disk: MakeDisk, kind: str
) -> None:
    disk = make_disk("48m")
    pipe = make_pipe(database, kind, sink={"path": str(disk.path / f"out.{kind}")})
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    _fills(disk, pipe)
    running.passes()
    disk.clear()
    pipe.goes_on(running)


@fault("no space at the source", "source: the data folder, so that its writers fail", goes_on())
def test_no_space_at_the_source(
    make_pipe: MakePipe,
    traffic: MakeTraffic,
    start_postgres: Start,
    make_disk: MakeDisk,
    execute: Execute,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = make_disk("200m")
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(disk.path))
        server = start_postgres(settings={"checkpoint_timeout": "1h"})
    pipe = make_pipe(server.url, "duckdb")
    running = traffic(server.url)
    pipe.start()
    pipe.catch_up()
    with _without_snapshots(server, execute):
        execute(server.url, "SELECT pg_switch_wal()")  # a server that has no room for its next segment ends
        pipe.catch_up()
        disk.fill()
        until(lambda: running.cuts, "for a writer to fail")
        disk.clear()
    running.passes()
    pipe.goes_on(running)


@pytest.mark.parametrize("kind", [
    pytest.param("file", marks=fault("no space for the checkpoint", "file checkpoint, sink stdout",
        waits("…: No space left on device"))),
    pytest.param("sqlite", marks=fault("no space for the checkpoint", "SQLite checkpoint, sink stdout",
        waits("checkpoint …: database or disk is full"))),
])  # fmt: skip
def test_no_space_for_the_checkpoint(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, make_disk: MakeDisk, kind: str
) -> None:
    disk = make_disk("1m")
    pipe = make_pipe(database, "stdout", checkpoint={"kind": kind, "path": str(disk.path / "saved")})
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    _fills(disk, pipe)
    running.passes()
    disk.clear()
    pipe.goes_on(running)


def _fills(disk: Disk, pipe: Pipe) -> None:
    """Leave no room until that is told: a file that was being replaced meanwhile gives back what it had."""

    def told() -> bool:
        disk.fill()
        return pipe.waited

    until(told, f"for {pipe.end.message!r}", timeout_s=300.0)


@contextmanager
def _without_snapshots(server: Server, execute: Execute) -> Iterator[None]:
    """Let the server log no running transactions: at each such record its walsender writes a file, and needs room. A
    checkpoint must be far away, which does too."""
    asked = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"
    [[pid]] = execute(server.url, asked)
    writer = psutil.Process(pid)
    writer.suspend()
    try:
        yield
    finally:
        writer.resume()
