"""The source no longer has, or never had, what comes after the saved position: the pipeline must stop, never skip."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from servers.postgres import Server
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.pipe import Pipe
from tests.fault.row import fault, stops
from tests.fault.traffic import Traffic
from tests.slots import drop_slots
from tests.waiting import until

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
RESET = "`tailrace reset` starts again"
GONE = stops(4, "replication slot '…' does not exist any more: the log after … is gone", RESET)
LARGE = """WITH of AS (INSERT INTO log VALUES (3, 1))
    INSERT INTO entries SELECT 3, 1, n, 100000 FROM generate_series(1, 100000) n"""
"""A transaction of writer 3."""
AHEAD = stops(
    4, "replication slot '…' was confirmed up to …, beyond the saved …: the server would skip what lies between", RESET
)


def paused(pipe: Pipe, traffic: MakeTraffic, url: str) -> Traffic:
    """A pipeline that has streamed and was stopped, with transactions committed since."""
    running = traffic(url)
    pipe.start()
    pipe.catch_up()
    pipe.stop()
    running.passes(2)  # the first may have been committed before
    running.stop()
    return running


def lose_wal(execute: Execute, url: str) -> None:
    """Switch segments until the server may remove those that the slot needs."""
    for _ in range(4):
        execute(url, "SELECT pg_logical_emit_message(false, '', 'x')", "SELECT pg_switch_wal()", "CHECKPOINT")


@fault("the slot is dropped", "source, while the pipeline is stopped", GONE)
def test_i6_a_slot_that_was_dropped(make_pipe: MakePipe, traffic: MakeTraffic, database: str) -> None:
    pipe = make_pipe(database, "duckdb")
    running = paused(pipe, traffic, database)
    drop_slots(database)
    pipe.start()
    pipe.stops(running)
    pipe.resets(running)


@fault("the slot is dropped under the stream", "source: the walsender is ended first", GONE)
def test_i6_a_slot_that_is_dropped_under_the_stream(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, execute: Execute
) -> None:
    pipe = make_pipe(database)
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    pipe.loses_slot()
    pipe.stops(running)
    pipe.resets(running)


@pytest.mark.parametrize("version", [18, 14])
@fault(
    "the slot is invalidated by `max_slot_wal_keep_size`",
    "source, while the pipeline is stopped",
    stops(4, "replication slot '…' was invalidated by the server: …", RESET),
)
def test_i6_a_slot_that_lost_its_log(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version, settings={"max_slot_wal_keep_size": "1MB", "wal_keep_size": "0"})
    pipe = make_pipe(server.url)
    running = paused(pipe, traffic, server.url)
    lose_wal(execute, server.url)
    pipe.start()
    pipe.stops(running)
    pipe.resets(running)


@fault(
    "the slot is invalidated by `max_slot_wal_keep_size`",
    "source, streaming: a reader that is paused, whose walsender is ended",
    stops(4, "replication slot '…' was invalidated by the server: …", RESET),
)
def test_i6_a_slot_that_loses_its_log_under_the_stream(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute
) -> None:
    server = start_postgres(settings={"max_slot_wal_keep_size": "1MB", "wal_keep_size": "0"})
    pipe = make_pipe(server.url, "duckdb")
    running = traffic(server.url)
    pipe.start()
    pipe.catch_up()
    pipe.signal(signal.SIGSTOP)
    lose_wal(execute, server.url)
    lost = f"SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = '{pipe.slot}'"
    until(lambda: execute(server.url, "CHECKPOINT", lost) == [(True,)], "for the slot to be invalidated")
    pipe.signal(signal.SIGCONT)
    pipe.stops(running)
    pipe.resets(running)


@fault(
    "the slot is invalidated by `idle_replication_slot_timeout`",
    "source (18), while the pipeline is stopped",
    stops(4, "replication slot '…' was invalidated by the server: idle_timeout", RESET),
)
def test_i6_a_slot_that_was_idle_for_too_long(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute
) -> None:
    server = start_postgres(18, settings={"idle_replication_slot_timeout": "1s"})
    pipe = make_pipe(server.url)
    running = paused(pipe, traffic, server.url)
    idle = f"SELECT invalidation_reason = 'idle_timeout' FROM pg_replication_slots WHERE slot_name = '{pipe.slot}'"
    until(lambda: execute(server.url, "CHECKPOINT", idle) == [(True,)], "for the slot to be invalidated")
    pipe.start()
    pipe.stops(running)
    pipe.resets(running)


@fault("another reader takes the slot and moves it", "source: `pg_recvlogical` while the pipeline is stopped", AHEAD)
def test_i6_a_slot_that_another_reader_moved(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, execute: Execute, postgres18: Server
) -> None:
    pipe = make_pipe(database, "duckdb")
    running = paused(pipe, traffic, database)
    end = execute(database, "SELECT pg_current_wal_lsn()::text")[0][0]
    command = [
        str(postgres18.bin("pg_recvlogical")), "-d", database, "-S", pipe.slot, "--start", "-f", "/dev/null", "-E", end,
        "-o", "proto_version=1", "-o", f"publication_names={pipe.slot}",
    ]  # fmt: skip
    subprocess.run(command, env=postgres18.environment(), check=True, capture_output=True, timeout=180)
    pipe.start()
    pipe.stops(running)
    pipe.resets(running)


@fault("the publication is dropped", "source, while the pipeline is stopped", stops(
    4, "the publication of replication slot '…' was dropped: what was in it after … is not known", RESET
))  # fmt: skip
def test_i6_a_publication_that_was_dropped(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, execute: Execute
) -> None:
    pipe = make_pipe(database)
    running = paused(pipe, traffic, database)
    execute(database, f"DROP PUBLICATION {pipe.slot}")
    pipe.start()
    pipe.stops(running)
    pipe.resets(running)


@pytest.mark.parametrize("version", [
    pytest.param(18, marks=fault("the publication is dropped under the stream", "source (18), streaming",
        stops(4, "the stream of slot '…' has a hole: skipped loading publication \"…\"", RESET))),
    pytest.param(14, marks=fault("the publication is dropped under the stream", "source (14), streaming",
        stops(4, "what the stream of slot '…' needs was dropped: publication \"…\" does not exist", RESET))),
])  # fmt: skip
def test_i6_a_publication_that_is_dropped_under_the_stream(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version)
    pipe = make_pipe(server.url, "duckdb")
    running = traffic(server.url)
    pipe.start()
    pipe.catch_up()
    execute(server.url, f"DROP PUBLICATION {pipe.slot}")
    running.passes(2)
    pipe.stops(running)
    pipe.resets(running)


@fault("a backup is restored under a live pipeline", "source: the data folder of before, same slot", stops(
    4, "the saved position … lies after the end of the server's log, …", RESET
))  # fmt: skip
def test_i6_a_backup_that_is_restored_under_a_live_pipeline(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute
) -> None:
    server = start_postgres()
    pipe = make_pipe(server.url, "duckdb")
    running = paused(pipe, traffic, server.url)
    server.stop()
    backup = server.data.with_name(server.data.name + "-backup")
    subprocess.run(["cp", "-a", server.data, backup], check=True)
    server.start()
    pipe.start()
    pipe.catch_up()
    execute(server.url, LARGE)
    running.adds(3, 1)
    pipe.catch_up()
    server.kill()
    shutil.rmtree(server.data)
    backup.rename(server.data)
    server.start()
    pipe.stops(running)
    running.forgets(3)
    pipe.resets(running)


@pytest.mark.parametrize("version", [18, 14])
@fault(
    "a backup is restored and has gone on beyond our position",
    "source: the data folder of before, same slot",
    stops(4, "the server's log has other records at the saved position …: it is another log than the one that was read",
          RESET),
)  # fmt: skip
def test_i6_a_backup_that_went_on_beyond_what_was_delivered(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version)
    pipe = make_pipe(server.url, "duckdb")
    running = paused(pipe, traffic, server.url)
    server.stop()
    backup = server.data.with_name(server.data.name + "-backup")
    subprocess.run(["cp", "-a", server.data, backup], check=True)
    server.start()
    pipe.start()
    pipe.catch_up()
    execute(server.url, "WITH of AS (INSERT INTO log VALUES (3, 1)) INSERT INTO entries VALUES (3, 1, 1, 1)")
    running.adds(3, 1)
    pipe.catch_up()
    pipe.stop()
    server.stop()
    shutil.rmtree(server.data)
    backup.rename(server.data)
    server.start()
    # One record that lies across all that was written in the life that is lost.
    execute(server.url, "SELECT pg_logical_emit_message(false, '', repeat('x', 20000000))")
    pipe.start()
    pipe.stops(running)
    running.forgets(3)
    pipe.resets(running)


@fault("a backup is restored and has gone on beyond our position", "source: recovered to a new timeline", stops(
    4, "timeline … was left at …, before the saved …: this server never had what was delivered last", RESET
))  # fmt: skip
def test_i6_a_backup_that_went_on_along_another_timeline(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute
) -> None:
    server = start_postgres()
    pipe = make_pipe(server.url, "duckdb")
    running = paused(pipe, traffic, server.url)
    server.stop()
    backup = server.data.with_name(server.data.name + "-backup")
    subprocess.run(["cp", "-a", server.data, backup], check=True)
    server.start()
    pipe.start()
    pipe.catch_up()
    pipe.stop()
    server.stop()
    shutil.rmtree(server.data)
    backup.rename(server.data)
    (server.data / "recovery.signal").touch()
    with (server.data / "postgresql.conf").open("a") as settings:
        settings.write("restore_command = 'false'\n")
    server.start()
    until(lambda: execute(server.url, "SELECT NOT pg_is_in_recovery()") == [(True,)], "for the end of the recovery")
    execute(server.url, LARGE)
    running.adds(3, 1)
    pipe.start()
    pipe.stops(running)
    pipe.resets(running)


@fault("an old checkpoint is restored", "Tailrace: the DuckDB file of before the last changes", AHEAD)
def test_i6_a_target_that_was_restored_from_a_backup(make_pipe: MakePipe, traffic: MakeTraffic, database: str) -> None:
    pipe = make_pipe(database, "duckdb")
    running = paused(pipe, traffic, database)
    old = pipe.target.read_bytes()
    pipe.start()
    pipe.catch_up()
    pipe.stop()
    pipe.target.write_bytes(old)
    pipe.start()
    pipe.stops(running)
    pipe.resets(running)


@fault("the url leads to another server", "source: a new one at the same address", stops(
    4, "the saved position is of …, but this is …", RESET
))  # fmt: skip
def test_i6_another_server_at_the_same_address(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start
) -> None:
    first, second = start_postgres(), start_postgres()
    pipe = make_pipe(first.url)
    running = paused(pipe, traffic, first.url)
    port = first.port
    first.kill()
    second.stop()
    second.port = port
    second.start()
    other = traffic(second.url, rows=100)
    pipe.start()
    pipe.stops(running)
    pipe.resets(other)
