"""A few faults of each kind on every older server, as source and as target; the other tests of the matrix run on 18."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from servers.postgres import VERSIONS, Server
from servers.proxy import Proxy
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.row import fault, goes_on, stops

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
older = pytest.mark.parametrize("version", VERSIONS[:-1])


@older
@fault(
    "one after another: kill -9, a prepared transaction, a column added, a table taken out, cuts, a column dropped",
    "source and target in one server of 14, 15, 16, 17 → postgres, streaming",
    goes_on(),
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
            connection.execute("INSERT INTO log VALUES (2, 1)")
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
    traffic(server.url, writers=(1,))
    pipe.start()
    pipe.catch_up()
    execute(
        server.url,
        f"""DO $$ BEGIN
            PERFORM pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '{pipe.slot}';
            PERFORM pg_drop_replication_slot('{pipe.slot}');
        END $$""",
    )
    pipe.stops()
