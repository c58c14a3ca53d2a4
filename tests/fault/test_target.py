"""A PostgreSQL target goes away, is locked, refuses rows, or is written by two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from servers.postgres import Server
from servers.proxy import Proxy
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.pipe import CANARY
from tests.fault.row import OR, fault, goes_on, waits
from tests.waiting import until

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
LOST = f"cannot …{OR}the connection …"
SHOP = f"""CREATE TABLE shop (id int PRIMARY KEY, a int, b text);
    INSERT INTO shop SELECT n, n, '{CANARY}' FROM generate_series(1, 100) n"""
BLOCKED = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@fault(
    "the connection is cut, stalled, refused",
    "target → postgres, streaming: ten cuts, some within a commit",
    waits(LOST),
)
def test_a_connection_to_the_target_that_breaks(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, replica: str, postgres18: Server
) -> None:
    with Proxy("127.0.0.1", postgres18.port) as proxy:
        pipe = make_pipe(database, "postgres", replica=replica, through=proxy.through(replica))
        running = traffic(database)
        pipe.start()
        pipe.catch_up()
        for cut in range(10):
            accepted = proxy.accepted
            proxy.cut_after(200 + 131 * cut)  # answers are short: the one to a COMMIT is lost now and then
            until(lambda before=accepted: proxy.accepted > before, "for a new connection")
        proxy.stall()
        running.passes(3)
        proxy.resume()
        proxy.refuse()
        proxy.cut()
        running.passes(3)
        proxy.resume()
        pipe.goes_on(running)
        proxy.cut()


@fault(
    "a row is locked",
    "target → postgres: another session holds the row, then commits",
    goes_on("once the lock is gone"),
)
def test_a_lock_at_the_target(make_pipe: MakePipe, database: str, replica: str, execute: Execute) -> None:
    execute(database, SHOP)
    pipe = make_pipe(database, "postgres")
    pipe.start()
    pipe.catch_up()
    with psycopg.connect(replica) as holder:
        holder.execute("SELECT FROM shop WHERE id = 1 FOR UPDATE")
        execute(database, "UPDATE shop SET a = a + 1", "DELETE FROM shop WHERE id = 7")
        until(lambda: execute(replica, BLOCKED) == [(True,)], "for the pipeline to be blocked")
    pipe.goes_on()


@fault(
    "a deadlock",
    "target → postgres: another session locks rows the other way round",
    waits("cannot …: deadlock detected"),
)
def test_a_deadlock_at_the_target(make_pipe: MakePipe, database: str, start_postgres: Start, execute: Execute) -> None:
    server = start_postgres()
    replica = server.create_database("replica")
    execute(database, SHOP)
    pipe = make_pipe(database, "postgres", replica=replica)
    pipe.start()
    pipe.catch_up()
    with psycopg.connect(replica) as holder:
        # The victim is who has waited for deadlock_timeout: not this session.
        holder.execute("SET deadlock_timeout = '1min'")
        holder.execute("UPDATE shop SET a = a WHERE id = 2")
        execute(database, "BEGIN; UPDATE shop SET a = -1 WHERE id = 1; UPDATE shop SET a = -1 WHERE id = 2; COMMIT")
        until(lambda: execute(replica, BLOCKED) == [(True,)], "for the pipeline to be blocked")
        holder.execute("UPDATE shop SET a = a WHERE id = 1")
        pipe.waits()
        holder.rollback()
    pipe.goes_on()
