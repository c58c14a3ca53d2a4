"""A few faults of each kind on every older server, as source and as target; the other tests of the matrix run on 18."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from servers.postgres import VERSIONS, Server
from servers.proxy import Proxy
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.row import fault, stops, waits
from tests.waiting import until

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
older = pytest.mark.parametrize("version", VERSIONS[:-1])


@older
@fault(
    "one after another: kill -9, a prepared transaction, a column added, a table taken out, cuts, a column dropped",
    "source and target in one server of 14, 15, 16, 17 → postgres, streaming",
    waits(""),
)
def test_faults_on_older_servers(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version)
    replica = server.create_database("replica")
    with Proxy("127.0.0.1", server.port) as proxy:
        pipe = make_pipe(
            proxy.through(server.url), "postgres", direct=server.url, replica=replica, through=proxy.through(replica)
        )
        running = traffic(server.url, writers=(1,))
        execute(server.url, "CREATE TABLE aside (id int)")
        pipe.start()
        pipe.catch_up()
        with psycopg.connect(server.url) as connection:
            connection.execute("INSERT INTO entries VALUES (2, 1, 1, 1)")
            connection.execute("INSERT INTO log VALUES (2, 1, NULL, NULL)")
            connection.execute("PREPARE TRANSACTION 'two'")
        server.kill()
        server.start()
        running.passes(2)
        execute(server.url, "ALTER TABLE accounts ADD extra int DEFAULT 7", "COMMIT PREPARED 'two'")
        running.adds(2, 1)
        pipe.attached()
        execute(server.url, f"ALTER PUBLICATION {pipe.slot} DROP TABLE aside")
        running.passes(2)
        pipe.says(f"public.aside is not in publication {pipe.slot} any more")
        proxy.cut()
        running.passes(2)
        execute(server.url, "ALTER TABLE accounts DROP extra")
        proxy.cut_after(2_000)
        pipe.goes_on(running)


@older
@fault("the slot is dropped under the stream", "source (14, 15, 16, 17): the walsender is ended first", stops(
    4, "replication slot '…' does not exist any more: the log after … is gone", "`tailrace reset` starts again"
))  # fmt: skip
def test_i6_a_slot_that_is_dropped_on_older_servers(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version)
    pipe = make_pipe(server.url)
    running = traffic(server.url, writers=(1,))
    pipe.start()
    pipe.catch_up()
    pipe.loses_slot()
    pipe.stops(running)
    pipe.resets(running)


@older
@fault(
    "kill -9 of the server between the blocks of a transaction that it streams, then of Tailrace",
    "source (14, 15, 16, 17: protocols 2, 3, 4), `logical_decoding_work_mem` at 64 kB, a subtransaction rolled back",
    waits("the connection of slot '…' broke: …"),
)
def test_a_streamed_transaction_that_is_cut_on_older_servers(
    make_pipe: MakePipe, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version, settings={"logical_decoding_work_mem": "64kB"})
    execute(server.url, "CREATE TABLE wide (id int PRIMARY KEY, pad text)")
    pipe = make_pipe(server.url)
    pipe.start()
    pipe.catch_up()
    streamed = f"SELECT stream_count > 0 FROM pg_stat_replication_slots WHERE slot_name = '{pipe.slot}'"
    for killed in ("server", "Tailrace"):
        execute(server.url, f"SELECT pg_stat_reset_replication_slot('{pipe.slot}')")
        with psycopg.connect(server.url) as large:
            large.execute("INSERT INTO wide SELECT n, repeat('p', 200) FROM generate_series(1, 4000) AS n")
            large.execute("SAVEPOINT gone")
            large.execute("UPDATE wide SET pad = 'lost'")
            large.execute("ROLLBACK TO gone")
            until(lambda: execute(server.url, streamed) == [(True,)], "for a block")
            if killed == "Tailrace":
                pipe.kill()
                large.commit()
            else:
                server.kill()
                large.close()
        if killed == "server":
            server.start()
            pipe.attached()
    pipe.start()
    pipe.goes_on()


@pytest.mark.parametrize("version", [14, 15])
@fault("`origin = \"none\"`, which the server does not know", "source (14, 15)", stops(
    2, 'origin = "none" needs PostgreSQL 16, the server is …'
))  # fmt: skip
def test_an_origin_that_older_servers_cannot_leave_out(
    make_pipe: MakePipe, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version)
    execute(server.url, "CREATE TABLE t (id int PRIMARY KEY)")
    pipe = make_pipe(server.url, source={"origin": "none"})
    pipe.start()
    pipe.stops()
    assert execute(server.url, "SELECT count(*) FROM pg_replication_slots") == [(0,)]


@pytest.mark.parametrize("version", [14, 15, 16])
@fault("`failover = true`, which the server does not know", "source (14, 15, 16)", stops(
    2, "failover = true needs PostgreSQL 17, the server is …"
))  # fmt: skip
def test_a_slot_that_older_servers_cannot_keep_for_failover(
    make_pipe: MakePipe, start_postgres: Start, execute: Execute, version: int
) -> None:
    server = start_postgres(version)
    execute(server.url, "CREATE TABLE t (id int PRIMARY KEY)")
    pipe = make_pipe(server.url, source={"failover": True})
    pipe.start()
    pipe.stops()
    assert execute(server.url, "SELECT count(*) FROM pg_replication_slots") == [(0,)]
