"""Tailrace's own process: run twice, paused, with a clock that jumps."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from servers.clock import Clock
from servers.postgres import Server
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.row import fault, goes_on, waits
from tests.wanting import or_skip

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]


@fault("two processes of the same pipeline", "one folder of state", waits(
    "pipeline fault is in use by process …", "once the first has ended; nothing lost"
))  # fmt: skip
def test_i16_a_second_process_waits(make_pipe: MakePipe, traffic: MakeTraffic, database: str) -> None:
    first, second = make_pipe(database, "duckdb"), make_pipe(database, "duckdb")
    running = traffic(database)
    first.start()
    first.catch_up()
    second.start()
    second.waits()
    first.stop()
    second.goes_on(running)


@pytest.mark.parametrize("kind", [
    pytest.param("duckdb", marks=fault("two processes of the same pipeline", "one target, two folders of state", waits(
        "… is in use by process …: DuckDB lets one process at a time write", "once the first has ended; nothing lost"
    ))),
    pytest.param("file", marks=fault("two processes of the same pipeline", "one target, two folders of state", waits(
        "… is in use by process …", "once the first has ended; nothing lost"
    ))),
])  # fmt: skip
def test_i16_a_second_process_with_other_state_waits_for_the_target(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, tmp_path: Path, kind: str
) -> None:
    first = make_pipe(database, kind)
    second = make_pipe(database, kind, folder=tmp_path / "other", heir=True, sink={"path": str(first.target)})
    running = traffic(database)
    first.start()
    first.catch_up()
    second.start()
    second.waits()
    first.stop()
    second.goes_on(running)


@fault("two processes of the same pipeline", "one target → postgres, two folders of state", waits(
    "replication slot '…' is active for PID …", "once the first has ended; nothing lost"
))  # fmt: skip
def test_i16_a_second_process_does_not_fence_one_that_reads(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, replica: str, tmp_path: Path
) -> None:
    server = start_postgres(settings={"wal_sender_timeout": "10s"})  # so long is a reader waited for that may be dead
    running = traffic(server.url)
    first = make_pipe(server.url, "postgres", replica=replica)
    second = make_pipe(server.url, "postgres", replica=replica, folder=tmp_path / "other", heir=True)
    first.start()
    first.catch_up()
    second.start()
    second.waits()
    running.passes(3)
    first.catch_up()
    first.stop()
    second.goes_on(running)


@pytest.mark.parametrize("kind", ["duckdb", "file"])
@fault("the process is paused and wakes up", "SIGSTOP, SIGCONT; its walsender was ended meanwhile", waits(
    "the connection of slot '…' broke: terminating connection due to administrator command"
))  # fmt: skip
def test_i16_a_process_that_wakes_up_goes_on(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, execute: Execute, kind: str
) -> None:
    pipe = make_pipe(database, kind)
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    pipe.signal(signal.SIGSTOP)
    running.passes()
    execute(
        database,
        "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots"
        f" WHERE slot_name = '{pipe.slot}' AND active",
    )
    running.passes()
    pipe.signal(signal.SIGCONT)
    running.passes()
    pipe.goes_on(running)


@fault("the process is paused and wakes up", "SIGSTOP for less than `wal_sender_timeout`, SIGCONT", goes_on())
def test_a_short_pause(make_pipe: MakePipe, traffic: MakeTraffic, database: str) -> None:
    pipe = make_pipe(database, "duckdb")
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    for _ in range(5):
        pipe.signal(signal.SIGSTOP)
        running.passes(3)
        pipe.signal(signal.SIGCONT)
        running.passes(3)
    pipe.goes_on(running)


@pytest.mark.parametrize("jump_s", [-3 * 3600, 3650 * 86400])
@fault("the clock jumps", "Tailrace, streaming: 3 hours back; 10 years ahead", goes_on())
def test_a_clock_that_jumps(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, tmp_path: Path, jump_s: int
) -> None:
    clock = or_skip(lambda: Clock(tmp_path / "clock"))
    pipe = make_pipe(database, "duckdb")
    running = traffic(database)
    pipe.start(**clock.environment)
    pipe.catch_up()
    clock.jump(jump_s)
    running.passes(6)
    pipe.goes_on(running)
    last = [line for line in pipe.said.splitlines() if line.startswith("{")][-1]
    told = datetime.fromisoformat(json.loads(last)["timestamp"])
    assert abs((told - datetime.now(UTC)).total_seconds() - jump_s) < 600, "the process did not see another time"
