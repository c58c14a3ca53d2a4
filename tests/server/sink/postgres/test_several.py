"""Several pipelines and one database: two ways between two servers, tenants in one table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from servers import postgres
from tailrace.model import Limits
from tailrace.pipeline import Pipeline, forget
from tailrace.sink.postgres import Existing
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source
from tests.background import running
from tests.server.sink.postgres.road import Road
from tests.waiting import until


def test_two_servers_that_both_write_replicate_to_one_another_without_a_loop(
    start_postgres: Callable[..., postgres.Server], tmp_path: Path
) -> None:
    urls = [start_postgres(18).create_database(name) for name in ("left", "right")]
    with ExitStack() as stack:
        sides = [stack.enter_context(psycopg.connect(url, autocommit=True)) for url in urls]
        for side in sides:
            side.execute("CREATE TABLE notes (id int PRIMARY KEY, writer text, n int)")
        for name, (here, there) in {"there": urls, "back": urls[::-1]}.items():
            source = Source(url=here, tables=["public.notes"], snapshot="never", origin="none")
            sink = Sink(there, existing=Existing.APPEND)
            stack.enter_context(running(Pipeline(source, sink, name=name, state_dir=tmp_path)))
        for side in sides:
            wait_for(side, "SELECT count(*) FROM pg_replication_slots WHERE active", (1,))
        for number in range(50):
            for key, side in enumerate(sides):
                side.execute("INSERT INTO notes VALUES (%s, %s, 0)", [2 * number + key, str(key)])
        for key, side in enumerate(sides):
            side.execute("UPDATE notes SET n = n + 1 WHERE writer = %s", [str(key)])
        for side in sides:
            wait_for(side, "SELECT count(*), sum(n) FROM notes", (100, 100))
        # A mark behind all that went over, in both directions: a loop would have shown by now.
        for side in sides:
            side.execute("INSERT INTO notes VALUES (%s, 'mark', 0)", [1000 + sides.index(side)])
        for side in sides:
            wait_for(side, "SELECT count(*) FROM notes WHERE writer = 'mark'", (2,))
            written = "SELECT n_tup_ins, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'notes'"
            wait_for(side, written, (102, 100))  # what came back would be written again


def wait_for(side: psycopg.Connection[Any], query: str, row: tuple[object, ...]) -> None:
    until(lambda: side.execute(query.encode()).fetchone() == row, f"for {row} of {query}")


def test_tenants_share_a_table_and_keep_out_of_one_another(
    road: Road, target_database: str, start_postgres: object, tmp_path: Path
) -> None:
    road.source.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
    road.at_source("INSERT INTO items SELECT i, i FROM generate_series(1, 300) i")

    def run(tenant: str) -> None:
        Pipeline(
            Source(url=road.urls[0], tables=["public.*"]),
            Sink(target_database, constants={"tenant": tenant}),
            name=f"{road.source.info.dbname}_{tenant}",
            state_dir=tmp_path,
        ).run(until_current=True)

    run("a")
    run("b")
    road.at_source("UPDATE items SET n = n + 1000 WHERE id <= 150", "DELETE FROM items WHERE id = 300")
    run("a")
    sums = "SELECT tenant, count(*), sum(n) FROM items GROUP BY 1 ORDER BY 1"
    assert road.rows(sums) == [("a", 299, 44850 + 150_000), ("b", 300, 45150)]
    road.at_source("TRUNCATE items", "INSERT INTO items VALUES (7, 7)")
    run("a")
    assert road.rows(sums) == [("a", 1, 7), ("b", 300, 45150)]
    run("b")
    assert road.rows(sums) == [("a", 1, 7), ("b", 1, 7)]


def test_tenants_of_two_servers_keep_out_of_one_another_while_one_is_killed_and_one_begins_anew(
    start_postgres: Callable[..., postgres.Server], target_database: str, tmp_path: Path
) -> None:
    servers = {"north": start_postgres(18), "south": start_postgres(14)}
    for server in servers.values():
        server.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
        server.execute("INSERT INTO items SELECT i, 0 FROM generate_series(1, 300) i")

    def make(tenant: str) -> Pipeline:
        return Pipeline(
            Source(url=servers[tenant].url, tables=["public.*"]),
            Sink(target_database, constants={"tenant": tenant}),
            name=f"two_servers_{tenant}",
            limits=Limits(backoff_s_max=0.5),
            state_dir=tmp_path,
        )

    def held(tenant: str) -> str:
        return f"SELECT count(*), sum(n)::int FROM items WHERE tenant = '{tenant}'"

    with psycopg.connect(target_database, autocommit=True) as target, running(make("north")):
        with running(make("south")):
            for number, server in enumerate(servers.values(), 1):
                until(lambda: target.execute("SELECT to_regclass('items')").fetchone() != (None,), "for the table")
                wait_for(target, held(list(servers)[number - 1]), (300, 0))
                server.execute(f"UPDATE items SET n = {number}")
            wait_for(target, held("north"), (300, 300))
            wait_for(target, held("south"), (300, 600))
        south = make("south")
        south.source.drop(south.name)
        forget(south)
        servers["south"].execute("DELETE FROM items WHERE id > 200")
        servers["north"].execute("UPDATE items SET n = 5 WHERE id <= 10")
        servers["north"].kill()
        with running(south):
            wait_for(target, held("south"), (200, 400))  # a new snapshot, without what the one before had
            servers["south"].execute("TRUNCATE items")
            servers["south"].execute("INSERT INTO items VALUES (7, 7)")
            wait_for(target, held("south"), (1, 7))
            servers["north"].start()
            servers["north"].execute("DELETE FROM items WHERE id = 300")
            wait_for(target, held("north"), (299, 289 + 50))
        wait_for(target, held("south"), (1, 7))
