"""Tailrace's own process: run twice, paused, with a clock that jumps."""

from __future__ import annotations

import platform
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servers.postgres import Server
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.row import OR, fault, goes_on, waits

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
_FAKETIME = Path("/usr/lib") / f"{platform.machine()}-linux-gnu" / "faketime" / "libfaketime.so.1"


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


@pytest.mark.parametrize("kind", ["duckdb", "file"])
@fault("the process is paused and wakes up", "SIGSTOP, SIGCONT; its walsender was ended meanwhile", waits(
    f"the connection of slot '…' broke: …{OR}cannot read from replication slot '…': terminating connection…"
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


@pytest.mark.parametrize("jump", ["-3h", "+10y"])
@fault("the clock jumps", "Tailrace, streaming: 3 hours back; 10 years ahead", goes_on())
def test_a_clock_that_jumps(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, tmp_path: Path, jump: str
) -> None:
    if not _FAKETIME.exists():
        pytest.skip("no libfaketime here")
    clock, next_clock = tmp_path / "clock", tmp_path / "next"
    clock.write_text("+0")
    next_clock.write_text(jump)
    pipe = make_pipe(database, "duckdb")
    running = traffic(database)
    faked = {"LD_PRELOAD": str(_FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    pipe.start(DONT_FAKE_MONOTONIC="1", **faked)
    pipe.catch_up()
    next_clock.replace(clock)  # at once: a file that is half written would be no time at all
    running.passes(6)
    pipe.goes_on(running)
