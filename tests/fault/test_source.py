"""The source goes away, comes back, or has no place for us."""

from __future__ import annotations

import signal
import struct
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from servers.clock import Clock
from servers.postgres import Server
from servers.proxy import Proxy
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.row import fault, goes_on, stops, waits
from tests.waiting import until
from tests.wanting import or_skip

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
CUTS = 3
BROKE = "the connection of slot '…' broke: …"
COPY = "the connection broke while copying …: …"


@pytest.mark.parametrize(("version", "kind"), [(18, "file"), (18, "duckdb"), (14, "duckdb")])
@fault("kill -9 of the source, three times", "source, streaming", waits(BROKE))
def test_a_source_that_is_killed(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, version: int, kind: str
) -> None:
    server = start_postgres(version)
    pipe = make_pipe(server.url, kind)
    running = traffic(server.url)
    pipe.start()
    pipe.catch_up()
    for _ in range(CUTS):
        running.passes()
        server.kill()
        server.start()
    running.passes()
    pipe.goes_on(running)


@fault(
    "kill -9 of the source",
    "source, during the snapshot",
    waits(COPY, "with a new snapshot, nothing lost"),
)
def test_a_source_that_is_killed_during_the_snapshot(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start
) -> None:
    server = start_postgres()
    running = traffic(server.url, rows=50_000)
    with Proxy("127.0.0.1", server.port) as proxy:
        pipe = make_pipe(proxy.through(server.url), "duckdb", direct=server.url)
        proxy.limit(50_000)  # so that the fault meets the snapshot: the tables take 20 s and more
        pipe.start()
        pipe.says("snapshot of public.accounts")
        server.kill()
        proxy.resume()
        server.start()
        pipe.catch_up()
        pipe.goes_on(running)


@pytest.mark.parametrize("jump_s", [
    pytest.param(-3 * 3600, marks=fault("the clock jumps", "source, streaming: 3 hours back", goes_on())),
    pytest.param(3650 * 86400, marks=fault("the clock jumps", "source, streaming: 10 years ahead", waits(BROKE))),
])  # fmt: skip
def test_a_clock_of_the_source_that_jumps(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute, jump_s: int
) -> None:
    server = start_postgres()
    clock = or_skip(lambda: Clock(server.data / "clock"))  # where the server's user may read it
    server.stop()
    server.start(**clock.environment)
    pipe = make_pipe(server.url, "duckdb")
    running = traffic(server.url)
    pipe.start()
    pipe.catch_up()
    pipe.signal(signal.SIGSTOP)  # or the first that its walsender sees of the new time may be an answer
    running.passes(1)
    clock.jump(jump_s)
    if jump_s > 0:
        active = "SELECT count(*) FROM pg_replication_slots WHERE active"
        # An answer from before that it reads behind the jump is one of the new time: then it waits for a minute.
        silence = "for the walsender to take that for silence"
        until(lambda: execute(server.url, active) == [(0,)], silence, timeout_s=180)
    pipe.signal(signal.SIGCONT)
    running.passes(6)
    pipe.goes_on(running)
    [[there]] = execute(server.url, "SELECT clock_timestamp()")
    assert abs((there - datetime.now(UTC)).total_seconds() - jump_s) < 600, "the server did not see another time"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
@fault("the source is restarted, three times", "source, streaming: fast and immediate", waits(BROKE))
def test_a_source_that_is_restarted(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, mode: str
) -> None:
    server = start_postgres()
    pipe = make_pipe(server.url)
    running = traffic(server.url)
    pipe.start()
    pipe.catch_up()
    for _ in range(CUTS):
        running.passes()
        server.stop(mode)
        server.start()
    running.passes()
    pipe.goes_on(running)


@fault("all replication slots are in use", "source: `max_replication_slots`", stops(
    3, "cannot create replication slot '…': all replication slots are in use", "goes on once there is room"
))  # fmt: skip
def test_a_source_without_a_free_slot(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute
) -> None:
    server = start_postgres(settings={"max_replication_slots": "1"})
    running = traffic(server.url)
    execute(server.url, "SELECT pg_create_physical_replication_slot('other')")
    pipe = make_pipe(server.url, "duckdb")
    pipe.start()
    pipe.stops()
    execute(server.url, "SELECT pg_drop_replication_slot('other')")
    pipe.resumes(running)


@fault("all walsenders are in use", "source: `max_wal_senders`", waits("…: …max_wal_senders…"))
def test_a_source_without_a_free_walsender(make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start) -> None:
    server = start_postgres(settings={"max_wal_senders": "1"})
    running = traffic(server.url)
    pipe = make_pipe(server.url)
    command = [str(server.bin("pg_receivewal")), "-d", server.url, "-D", str(server.data / "received")]
    (server.data / "received").mkdir()
    with subprocess.Popen(command, env=server.environment(), stderr=subprocess.DEVNULL) as other:
        until(lambda: any((server.data / "received").iterdir()), "for the other walsender")
        pipe.start()
        pipe.waits()
        other.terminate()
    pipe.catch_up()
    pipe.goes_on(running)


@fault(
    "all connections are in use", "source: `max_connections`", waits("cannot connect to …: …too many clients already")
)
def test_a_source_without_a_free_connection(make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start) -> None:
    server = start_postgres(settings={"max_connections": "12", "superuser_reserved_connections": "0"})
    running = traffic(server.url)
    pipe = make_pipe(server.url)
    pipe.start()
    pipe.catch_up()
    pipe.stop()
    clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    with ExitStack() as others:
        first = others.enter_context(psycopg.connect(server.url, autocommit=True))
        # Or the server ends one of the pipeline's behind this, and there is room.
        until(lambda: first.execute(clients).fetchone() == (1 + 2,), "for nobody but the traffic to be connected")
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            while True:
                others.enter_context(psycopg.connect(server.url))
        pipe.start()
        pipe.waits()
    pipe.goes_on(running)


@fault(
    "another reader holds the slot",
    "source: a reader that lives and confirms nothing",
    waits("replication slot '…' is active for PID …"),
)
def test_a_slot_that_another_reader_holds(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute
) -> None:
    server = start_postgres(settings={"wal_sender_timeout": "10s"})
    running = traffic(server.url)
    pipe = make_pipe(server.url, "duckdb")
    pipe.start()
    pipe.catch_up()
    pipe.stop()
    with closing(psycopg.connect(server.dsn() + "?replication=database", autocommit=True)) as other:
        options = f"(proto_version '1', publication_names '{pipe.slot}')"
        other.pgconn.exec_(f'START_REPLICATION SLOT "{pipe.slot}" LOGICAL 0/0 {options}'.encode())
        pipe.start()
        until(lambda: _alive(other) and pipe.waited, "for the pipeline to wait", timeout_s=180)
    pipe.goes_on(running)


@pytest.mark.parametrize("version", [18, 14])
@fault("a transaction is prepared and committed later", "source: PREPARE TRANSACTION, a restart between", waits(BROKE))
def test_prepared_transactions(make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, version: int) -> None:
    server = start_postgres(version)
    running = traffic(server.url, writers=(1,))
    pipe = make_pipe(server.url)
    pipe.start()
    pipe.catch_up()
    with psycopg.connect(server.url) as connection:
        for writer in (2, 3):
            connection.execute("INSERT INTO entries VALUES (%s, 1, 1, 1)", [writer])
            connection.execute("INSERT INTO log VALUES (%s, 1, NULL, NULL)", [writer])
            connection.execute(f"PREPARE TRANSACTION 'writer {writer}'".encode())
    running.passes()
    server.stop()
    server.start()
    running.passes()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("COMMIT PREPARED 'writer 2'")
        connection.execute("ROLLBACK PREPARED 'writer 3'")
    running.adds(2, 1)
    pipe.goes_on(running)


def _alive(reader: psycopg.Connection[Any]) -> bool:
    """Read, and tell the server so, without a position."""
    reader.pgconn.consume_input()
    while reader.pgconn.get_copy_data(1)[0] > 0:
        pass
    reader.pgconn.put_copy_data(struct.pack("!cqqqqb", b"r", 0, 0, 0, 0, 0))
    reader.pgconn.flush()  # or it waits until there are 8 kB of such, for longer than the server does
    return True
