"""A standby that is promoted under load: what was committed and survives arrives once, or the stream stops loudly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg
import pytest

from servers import postgres
from tailrace.contract import Sink
from tailrace.error import ConfigError, HistoryLost, Retryable
from tailrace.model import Limits, Severity
from tailrace.pipeline import Pipeline
from tailrace.sink import DuckDB, File
from tailrace.sink.postgres import Postgres as Replica
from tailrace.source import Postgres
from tests.server.postgres.reading import Make, Reading, Sql
from tests.waiting import until

Start = Callable[..., postgres.Server]
SYNCED = {"hot_standby_feedback": "on", "synchronized_standby_slots": ""}
TABLE = "CREATE TABLE entries (writer int, tx int, n int, PRIMARY KEY (writer, tx, n))"


def both(*servers: postgres.Server, attrs: str = "read-write") -> str:
    """One url that names all hosts."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs={attrs}&connect_timeout=5"


def is_synced(primary: postgres.Server, standby: postgres.Server, sql: Sql, slot: str) -> bool:
    """Whether the slot is at the standby; a slot gets there once it has moved over a record that comes each 15 s."""
    sql(primary.url, "SELECT pg_log_standby_snapshot()")
    found = sql(standby.url, f"SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = '{slot}'")
    return found == [(True,)]


def begin_to_synchronise(standby: postgres.Server) -> None:
    """Once there is a slot: the server looks seldom, up to each 30 s, while there is none."""
    standby.execute("ALTER SYSTEM SET sync_replication_slots = on")
    standby.execute("SELECT pg_reload_conf()")


def insert(sql: Sql, server: postgres.Server, tx: int) -> None:
    sql(server.url, f"INSERT INTO entries VALUES (9, {tx}, 1)")


def synchronise(it: Reading, sql: Sql, primary: postgres.Server, standby: postgres.Server) -> int:
    """Read on until the slot is at the standby."""
    begin_to_synchronise(standby)
    tx = 0

    def synced() -> bool:
        nonlocal tx
        tx += 1
        insert(sql, primary, tx)
        it.read()
        return is_synced(primary, standby, sql, f"tailrace_{it.name}")

    it.until(synced)
    return tx


class Writers:
    """Two clients that write transactions of one to four rows to whatever primary they find, and keep a ledger."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self.acknowledged: set[tuple[int, int]] = set()
        self._threads = [threading.Thread(target=self._write, args=(writer,)) for writer in (1, 2)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        tx = 0
        rows = "INSERT INTO entries SELECT %s, %s, n FROM generate_series(1, %s) AS n"
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    while not self._stopping.wait(0.005):
                        tx += 1
                        connection.execute(rows, [writer, tx, 1 + tx % 4])
                        self.acknowledged.add((writer, tx))
            except psycopg.OperationalError:
                self._stopping.wait(0.05)


def entries(kind: str, path: Path, replica: str, sql: Sql) -> list[tuple[int, int, int]]:
    """What the sink holds, doubles included."""
    if kind == "postgres":
        return sql(replica, "SELECT writer, tx, n FROM entries")
    if kind == "duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute("SELECT writer, tx, n FROM public.entries").fetchall()
    sidecar = json.loads(path.with_name(path.name + ".position").read_bytes())
    rows = [json.loads(line)["value"]["after"] for line in path.read_bytes()[: sidecar["final"]].splitlines()]
    return [(row["writer"], row["tx"], row["n"]) for row in rows]


@pytest.mark.parametrize(("version", "kind"), [(17, "file"), (18, "duckdb"), (18, "postgres")])
def test_i6_a_synchronised_standby_promoted_under_load_loses_and_doubles_nothing(
    start_postgres: Start,
    start_standby: Start,
    sql: Sql,
    target_database: str,
    tmp_path: Path,
    version: int,
    kind: str,
) -> None:
    primary = start_postgres(version, settings={"synchronized_standby_slots": "standby"})
    standby = start_standby(primary, settings=SYNCED)
    sql(primary.url, TABLE, "INSERT INTO entries SELECT 0, 0, n FROM generate_series(1, 100) AS n")
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")  # acknowledged is what both have
    primary.execute("SELECT pg_reload_conf()")
    url, path = both(primary, standby), tmp_path / "shop"
    sinks: dict[str, Callable[[], Sink]] = {
        "file": lambda: File(path), "duckdb": lambda: DuckDB(path), "postgres": lambda: Replica(target_database),
    }  # fmt: skip
    pipeline = Pipeline(
        Postgres(url, tables=["public.entries"], failover=True),
        sinks[kind](),
        name="shop",
        state_dir=None,
        limits=Limits(progress_interval_s=0.2, backoff_s_max=1.0),
    )
    runner = threading.Thread(target=pipeline.run)
    runner.start()
    writers = Writers(url)
    until(lambda: pipeline.status().changes > 500)
    begin_to_synchronise(standby)
    until(lambda: is_synced(primary, standby, sql, "tailrace_shop"), "for the slot to be synchronised")
    primary.kill()
    before = len(writers.acknowledged), pipeline.status().changes
    standby.promote()
    until(lambda: len(writers.acknowledged) > before[0] + 200 and pipeline.status().changes > before[1] + 200)
    writers.stop()
    pipeline.stop()
    runner.join()
    pipeline.run(until_current=True)
    surviving = sql(standby.url, "SELECT writer, tx, n FROM entries ORDER BY 1, 2, 3")
    assert writers.acknowledged <= {(writer, tx) for writer, tx, _ in surviving}
    assert sorted(entries(kind, path, target_database, sql)) == surviving


def test_i6_a_slot_that_was_not_synchronised_before_the_promotion_is_history_lost(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make
) -> None:
    primary = start_postgres(17)
    standby = start_standby(primary, settings={"hot_standby_feedback": "on"})
    sql(primary.url, TABLE)
    it = reading(both(primary, standby), "shop", snapshot="never", failover=True).open().first()
    insert(sql, primary, 1)
    it.count(1)
    until(lambda: sql(standby.url, "SELECT count(*) FROM entries") == [(1,)])
    it.close()
    primary.kill()
    standby.promote()
    with pytest.raises(HistoryLost, match=r"(?s)does not exist any more.*not \(yet\) synchronised") as caught:
        it.open()
    assert caught.value.exit_code == 4


def test_i6_a_promoted_standby_that_lacks_what_was_delivered_is_history_lost(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make
) -> None:
    primary = start_postgres(18)
    standby = start_standby(primary, settings=SYNCED)
    sql(primary.url, TABLE)
    it = reading(both(primary, standby), "shop", snapshot="never", failover=True).open()
    last = synchronise(it, sql, primary, standby)
    standby.stop()
    insert(sql, primary, last + 1)
    it.count(last + 1)
    it.close()
    primary.kill()
    standby.start()
    standby.promote()
    with pytest.raises(HistoryLost, match=r"(?s)before the saved.*synchronized_standby_slots") as caught:
        it.open()
    assert caught.value.exit_code == 4
    primary.start()  # as it comes back by itself, alone on its timeline
    it.open(url=both(primary)).count(last + 1)


def test_changes_are_held_back_not_lost_while_a_named_standby_is_away(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    primary = start_postgres(17, settings={"synchronized_standby_slots": "standby"})
    standby = start_standby(primary, settings=SYNCED)
    sql(primary.url, TABLE)
    it = reading(primary.url, "shop", snapshot="never", failover=True).open().first()
    standby.stop()
    insert(sql, primary, 1)
    it.until(lambda: "holds back changes of slot tailrace_shop" in caplog.text)
    assert it.seen == []
    stopper = threading.Thread(target=primary.stop)
    stopper.start()
    with pytest.raises(Retryable):
        it.until(lambda: False)
    it.close()
    stopper.join()
    primary.start()
    standby.start()
    it.open().count(1)
    primary.execute("ALTER SYSTEM SET synchronized_standby_slots = 'unknown'")
    primary.execute("SELECT pg_reload_conf()")
    insert(sql, primary, 2)
    it.until(lambda: '"unknown" specified in parameter' in caplog.text)
    (found,) = [f for f in it.source.check() if f.subject == "synchronized_standby_slots"]
    assert found.severity is Severity.ERROR and "does not exist" in found.message
    primary.execute("ALTER SYSTEM RESET synchronized_standby_slots")
    primary.execute("SELECT pg_reload_conf()")
    it.count(2)


def test_i15_a_primary_that_dies_under_the_snapshot_has_it_made_anew_at_the_promoted_standby(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make
) -> None:
    primary = start_postgres(18)
    standby = start_standby(primary, settings=SYNCED)
    rows = (
        "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) AS i"  # more than sockets hold
    )
    sql(primary.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)", rows)
    it = reading(both(primary, standby), "shop", failover=True)
    it.limits = Limits(segment_bytes=1 << 14)
    it.open().count(1)
    sql(primary.url, "DELETE FROM orders WHERE id = 1")
    until(lambda: sql(standby.url, "SELECT to_regclass('orders')::text") == [("orders",)])
    until(lambda: sql(standby.url, "SELECT count(*) FROM orders") == [(29999,)])
    primary.kill()
    with pytest.raises(Retryable):
        it.until(lambda: False)
    standby.promote()
    it.restart()
    it.until(lambda: it.batches[-1].snapshot is None)
    attempts = {batch.snapshot.attempt for batch in it.batches if batch.snapshot is not None}
    assert len(attempts) == 2
    last = [batch for batch in it.batches if batch.snapshot is not None][-1].snapshot
    assert last is not None
    whole = sum(len(batch) for batch in it.batches if batch.snapshot and batch.snapshot.attempt == last.attempt)
    assert whole == 29999


def test_a_former_primary_that_comes_back_is_refused(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make
) -> None:
    primary = start_postgres(17, settings={"synchronized_standby_slots": "standby"})
    standby = start_standby(primary, settings=SYNCED)
    sql(primary.url, TABLE)
    it = reading(both(primary, standby), "shop", snapshot="never", failover=True).open()
    last = synchronise(it, sql, primary, standby)
    it.close()
    primary.kill()
    with pytest.raises(Retryable, match="cannot connect"):
        it.open()
    with pytest.raises(Retryable, match="a standby was reached"):
        it.open(url=standby.url)
    with pytest.raises(Retryable, match="follows its primary's"):
        it.open(failover=False)
    standby.promote()
    insert(sql, standby, last + 1)
    it.open(url=both(primary, standby), failover=True).count(last + 1)
    it.close()
    primary.start()
    with pytest.raises(HistoryLost, match=r"(?s)no ancestor.*former primary"):
        it.open()
    primary.stop()
    insert(sql, standby, last + 2)
    it.open().count(last + 2)
    assert [change.key for change in it.seen] == [{"writer": "9", "tx": str(tx), "n": "1"} for tx in range(1, last + 3)]


def test_a_slot_that_was_made_without_failover_is_altered(
    start_postgres: Start, sql: Sql, reading: Make, database15: str
) -> None:
    server = start_postgres(18)
    sql(server.url, TABLE)
    it = reading(server.url, "shop", snapshot="never").open().first()
    slots = "SELECT failover FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'"
    assert sql(server.url, slots) == [(False,)]
    it.restart(failover=True)
    assert sql(server.url, slots) == [(True,)]
    it.restart(failover=False)
    assert sql(server.url, slots) == [(True,)]  # an administrator may have set it
    with pytest.raises(ConfigError, match="needs PostgreSQL 17, the server is 15"):
        reading(database15, failover=True).open()
    with pytest.raises(ConfigError, match="temporary"):
        Postgres(server.url, failover=True, temporary=True)


def test_check_names_what_a_failover_lacks(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make
) -> None:
    primary = start_postgres(17)
    standby = start_standby(primary, settings={"hot_standby_feedback": "off"})
    sql(primary.url, TABLE)
    it = reading(both(primary, standby), "shop", slot="tailrace_shop", snapshot="never", failover=True).open()

    def lacks() -> set[tuple[str, str]]:
        subjects = ("failover", "synchronized_standby_slots", f"standby 127.0.0.1:{standby.port}")
        return {
            (finding.subject.split()[0], finding.message.split(":")[0])
            for finding in it.source.check()
            if finding.severity is not Severity.OK and finding.subject in subjects
        }

    assert lacks() == {
        ("synchronized_standby_slots", "empty"),
        ("standby", "sync_replication_slots is off"),
        ("standby", "hot_standby_feedback is off"),
        ("standby", "slot tailrace_shop is not synchronised yet"),
    }
    for finding in it.source.check():
        server = standby if finding.subject.startswith("standby") else primary
        if finding.fix is not None and finding.subject.startswith(("standby", "synchronized")):
            for statement in finding.fix.split("; "):
                server.execute(statement)
    synchronise(it, sql, primary, standby)
    it.close()
    assert lacks() == set()
    ((conninfo,),) = sql(standby.url, "SELECT current_setting('primary_conninfo')")
    text = conninfo.replace("dbname=postgres", "").replace("'", "''")
    standby.execute(f"ALTER SYSTEM SET primary_conninfo = '{text}'")
    standby.execute("SELECT pg_reload_conf()")
    until(lambda: any("names no dbname" in said for _, said in lacks()))
    (one,) = [f for f in Postgres(primary.url, failover=True).check() if f.subject == "failover"]
    assert "names one host" in one.message
    first = Postgres(both(primary, standby, attrs="any"), failover=True).check()
    assert any("add target_session_attrs=read-write" in finding.message for finding in first)
    (reached,) = [f for f in Postgres(standby.url, failover=True).check() if f.subject == "failover"]
    assert reached.severity is Severity.ERROR
