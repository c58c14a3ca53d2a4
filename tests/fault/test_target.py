"""A PostgreSQL target goes away, is locked, refuses rows, or is written by two."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from servers.postgres import Server
from servers.process import own
from servers.proxy import Proxy, Side
from tests.crash.load import shrink
from tests.fault.conftest import MakeDisk, MakePipe, MakeTraffic
from tests.fault.pipe import CANARY
from tests.fault.row import fault, goes_on, stops, waits
from tests.waiting import until

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
LOST = "the session with … was lost"
COMPLETE = "the snapshot is complete"
SHOP = f"""CREATE TABLE shop (id int PRIMARY KEY, a int, b text);
    INSERT INTO shop SELECT n, n, '{CANARY}' FROM generate_series(1, 100) n"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
BLOCKED = WAITING.replace("count(*)", "count(*) > 0")


@pytest.mark.parametrize("version", [18, 14])
@fault("kill -9 of the target, three times", "target → postgres, streaming", waits(LOST))
def test_a_target_that_is_killed(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, start_postgres: Start, version: int
) -> None:
    server = start_postgres(version)
    pipe = make_pipe(database, "postgres", replica=server.create_database("replica"))
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    for _ in range(3):
        running.passes(3)
        server.kill()
        server.start()
        pipe.held.prefix()
    pipe.goes_on(running)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
@fault("the target is restarted, three times", "target → postgres, streaming: fast and immediate", waits(LOST))
def test_a_target_that_is_restarted(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, start_postgres: Start, mode: str
) -> None:
    server = start_postgres()
    pipe = make_pipe(database, "postgres", replica=server.create_database("replica"))
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    for _ in range(3):
        running.passes(3)
        server.stop(mode)
        server.start()
    pipe.goes_on(running)


@pytest.mark.parametrize("ended", ["killed", "restarted"])
@fault(
    "kill -9 of the target, or a restart",
    "target → postgres, during the snapshot",
    waits(LOST, "with a new snapshot, no row of the attempt before left, nothing lost"),
)
def test_a_target_that_ends_during_the_snapshot(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, start_postgres: Start, execute: Execute, ended: str
) -> None:
    server = start_postgres()
    pipe = make_pipe(database, "postgres", replica=server.create_database("replica"))
    execute(pipe.replica, "CREATE TABLE part_9 (id int PRIMARY KEY)")
    running = traffic(database)
    with closing(psycopg.connect(pipe.replica)) as holder:
        holder.execute("LOCK TABLE part_9 IN ACCESS EXCLUSIVE MODE")  # the last table is waited for, others are there
        pipe.start()
        until(lambda: execute(pipe.replica, BLOCKED) == [(True,)], "for the pipeline to be blocked")
        assert execute(pipe.replica, "SELECT count(*) FROM part_0") == [(500,)]
        if ended == "killed":
            server.kill()
        else:
            server.stop("fast")
    read = pipe.said.count(COMPLETE)  # by the source: nothing of what it read of part_9 can have been written
    shrink(database)  # the attempt that is over has read these rows
    server.start()
    pipe.goes_on(running)
    assert pipe.said.count(COMPLETE) > read, "there was no new snapshot"


@fault(
    "the connection is cut, stalled",
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
        pipe.goes_on(running)
        proxy.cut()


@fault("the connection is slow", "target → postgres, streaming: 20 kB/s, then 50 ms of latency", goes_on())
def test_a_slow_connection_to_the_target(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, replica: str, postgres18: Server
) -> None:
    with Proxy("127.0.0.1", postgres18.port) as proxy:
        pipe = make_pipe(database, "postgres", replica=replica, through=proxy.through(replica))
        running = traffic(database, writers=(1,))
        pipe.start()
        pipe.catch_up()
        for slow in (lambda: proxy.limit(20_000), lambda: proxy.delay(0.05)):
            before = proxy.to_target_bytes
            slow()
            until(lambda before=before: proxy.to_target_bytes > before + 20_000, "for bytes")
            running.passes(1)
            proxy.resume()
        accepted = proxy.accepted
        pipe.goes_on(running)
        assert proxy.accepted == accepted, "it was taken for one that is dead"


@fault("connections are refused", "target → postgres, streaming", waits(
    "cannot connect to …: …Connection refused…"
))  # fmt: skip
def test_a_target_that_refuses_connections(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, replica: str, postgres18: Server
) -> None:
    with Proxy("127.0.0.1", postgres18.port) as proxy:
        pipe = make_pipe(database, "postgres", replica=replica, through=proxy.through(replica))
        running = traffic(database)
        pipe.start()
        pipe.catch_up()
        proxy.refuse()
        proxy.cut()
        pipe.waits()
        running.passes(3)
        proxy.resume()
        pipe.goes_on(running)
        proxy.cut()


@fault(
    "the connection is half open",
    "target → postgres: the server's end is gone, a proxy goes on acknowledging",
    waits("nothing was heard for 30 s while writing to …, and the server has no such session any more"),
)
def test_a_half_open_connection_to_the_target(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, replica: str, postgres18: Server
) -> None:
    with Proxy("127.0.0.1", postgres18.port) as proxy:
        pipe = make_pipe(database, "postgres", replica=replica, through=proxy.through(replica))
        running = traffic(database)
        pipe.start()
        pipe.catch_up()
        proxy.half_open(Side.CLIENT)
        proxy.resume()
        pipe.waits()
        pipe.goes_on(running)


@fault("no space at the target", "target → postgres: the tablespace", waits("cannot …: …No space left on device"))
def test_no_space_at_the_target(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, start_postgres: Start, make_disk: MakeDisk
) -> None:
    disk, server = make_disk("64m"), start_postgres()
    own(disk.path)
    server.execute(f"CREATE TABLESPACE small LOCATION '{disk.path}'")
    server.execute("CREATE DATABASE replica TABLESPACE small")
    pipe = make_pipe(database, "postgres", replica=server.dsn("replica"))
    running = traffic(database)
    pipe.start()
    pipe.catch_up()
    disk.fill()
    pipe.waits()
    running.passes()
    disk.clear()
    pipe.goes_on(running)


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
    "a table is locked",
    "target → postgres: ACCESS EXCLUSIVE for longer than a status interval",
    goes_on("once the lock is gone"),
)
def test_i11_a_locked_table_at_the_target(
    make_pipe: MakePipe, start_postgres: Start, replica: str, execute: Execute
) -> None:
    server = start_postgres(settings={"wal_sender_timeout": "4s"})
    execute(server.url, SHOP)
    pipe = make_pipe(server.url, "postgres")
    pipe.start()
    pipe.catch_up()
    sender = "SELECT active_pid FROM pg_replication_slots"
    before = execute(server.url, sender)
    with psycopg.connect(replica) as holder:
        holder.execute("LOCK TABLE shop IN ACCESS EXCLUSIVE MODE")
        execute(server.url, "UPDATE shop SET a = a + 1")
        until(lambda: execute(replica, BLOCKED) == [(True,)], "for the pipeline to be blocked")
        # Longer than the source is patient, and less than the ten seconds that the pipeline waits for a lock.
        since = execute(replica, "SELECT clock_timestamp() + interval '5 s'")[0][0]
        until(lambda: execute(replica, "SELECT clock_timestamp()")[0][0] > since, "for the server's patience to end")
        assert execute(server.url, sender) == before, "the source has ended the connection"
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
    with psycopg.connect(replica) as gate, psycopg.connect(replica) as holder:
        # The victim is who waits last: it looks for a deadlock once, so the others must wait by then.
        holder.execute("SET deadlock_timeout = '10min'")
        holder.execute("UPDATE shop SET a = a WHERE id = 3")
        gate.execute("UPDATE shop SET a = a WHERE id = 2")
        updates = "; ".join(f"UPDATE shop SET a = -1 WHERE id = {id}" for id in (1, 2, 3))
        execute(database, f"BEGIN; {updates}; COMMIT")
        until(lambda: execute(replica, WAITING) == [(1,)], "for the pipeline to be blocked")
        holder.pgconn.send_query(b"UPDATE shop SET a = a WHERE id = 1")
        until(lambda: execute(replica, WAITING) == [(2,)], "for the other session to be blocked")
        gate.rollback()
        pipe.waits()
        while holder.pgconn.get_result() is not None:  # it has its row now
            continue
        holder.rollback()
    pipe.goes_on()


@fault("a serialization failure", "target → postgres: its sessions are REPEATABLE READ by default", waits(
    "cannot …: could not serialize access due to …"
))  # fmt: skip
def test_a_serialization_failure_at_the_target(
    make_pipe: MakePipe, database: str, replica: str, execute: Execute
) -> None:
    execute(database, SHOP)
    execute(replica, f"ALTER DATABASE {psycopg.conninfo.conninfo_to_dict(replica)['dbname']}"
            " SET default_transaction_isolation = 'repeatable read'")  # fmt: skip
    pipe = make_pipe(database, "postgres")
    pipe.start()
    pipe.catch_up()
    with psycopg.connect(replica) as holder:
        holder.execute("UPDATE shop SET b = b WHERE id = 1")
        execute(database, "UPDATE shop SET a = a + 1")
        until(lambda: execute(replica, BLOCKED) == [(True,)], "for the pipeline to be blocked")
    pipe.waits()
    pipe.goes_on()


@fault("a constraint of the target is violated", "target → postgres: a CHECK that the source does not have", stops(
    5, "sink postgres refused 1 change(s), the first of public.shop at …: check violation at the target…",
    "goes on after the constraint was dropped, nothing lost",
))  # fmt: skip
def test_a_constraint_of_the_target(make_pipe: MakePipe, database: str, replica: str, execute: Execute) -> None:
    execute(database, SHOP)
    pipe = make_pipe(database, "postgres")
    pipe.start()
    pipe.catch_up()
    execute(replica, "ALTER TABLE shop ADD CONSTRAINT few CHECK (a < 1000)")
    pipe.commits(
        f"INSERT INTO shop VALUES (1001, 1, 'x'), (1002, 5000, '{CANARY}')",
        "UPDATE shop SET a = 0 WHERE id < 9",
    )
    pipe.stops()
    execute(replica, "ALTER TABLE shop DROP CONSTRAINT few")
    pipe.resumes()


@fault("a constraint of the target is violated", "DuckDB sink: a unique index that the source does not have", stops(
    5, "sink duckdb refused 1 change(s), the first of public.shop at …: DuckDB refused rows for …: a unique or…",
    "goes on after the index was dropped, nothing lost",
))  # fmt: skip
def test_a_unique_index_of_a_duckdb_target(make_pipe: MakePipe, database: str, execute: Execute) -> None:
    execute(database, SHOP)
    pipe = make_pipe(database, "duckdb")
    pipe.start()
    pipe.catch_up()
    pipe.stop()
    with duckdb.connect(str(pipe.target)) as target:
        target.execute("CREATE UNIQUE INDEX few ON public.shop (a)")
    pipe.commits(
        "UPDATE shop SET a = 2000 WHERE id = 9",
        f"INSERT INTO shop VALUES (1001, 1001, 'x'), (1002, 1, '{CANARY}'), (1003, 1003, 'y')",
    )
    pipe.start()
    pipe.stops()
    with duckdb.connect(str(pipe.target)) as target:
        target.execute("DROP INDEX public.few")
    pipe.resumes()


@fault("a table of the target is dropped", "target → postgres, streaming", stops(
    1, 'cannot write to …: relation "public.shop" does not exist (SQLSTATE 42P01)'
))  # fmt: skip
def test_a_table_of_the_target_that_is_gone(make_pipe: MakePipe, database: str, replica: str, execute: Execute) -> None:
    execute(database, SHOP, "CREATE TABLE other (id int PRIMARY KEY)")
    pipe = make_pipe(database, "postgres", only=["other"])
    pipe.start()
    pipe.catch_up()
    execute(replica, "DROP TABLE shop")
    pipe.commits("UPDATE shop SET a = 0")
    execute(database, "INSERT INTO other VALUES (1)")
    pipe.stops()


@fault("a paused process wakes up, another has taken over", "target → postgres: SIGSTOP, SIGCONT", stops(
    1, "another process has claimed the pipeline 'fault' since and ended this session",
    "the other goes on, nothing lost or doubled",
))  # fmt: skip
def test_i16_a_process_that_wakes_up_is_fenced(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, replica: str, execute: Execute, tmp_path: Path
) -> None:
    sleeper = make_pipe(database, "postgres")
    other = make_pipe(database, "postgres", replica=replica, folder=tmp_path / "other", heir=True)
    running = traffic(database)
    sleeper.start()
    sleeper.catch_up()
    sleeper.signal(signal.SIGSTOP)
    running.passes(3)
    # It must have something to write when it wakes up.
    [[end]] = execute(database, "SELECT pg_current_wal_insert_lsn()::text")
    sent = f"SELECT sent_lsn >= '{end}' FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid"
    until(lambda: execute(database, f"{sent} WHERE slot_name = '{sleeper.slot}'") == [(True,)], "for what it has")
    execute(
        database,
        "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots"
        f" WHERE slot_name = '{other.slot}' AND active",
    )
    other.start()
    other.attached()
    sleeper.signal(signal.SIGCONT)
    running.passes(3)
    sleeper.stops(running)
    sleeper.start()  # as systemd does: it must not fence the other off in its turn
    sleeper.says("still active for PID")
    running.stop()
    other.catch_up()
    sleeper.kill()
    other.stop()
    other.settle(running)
