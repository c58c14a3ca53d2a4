"""Servers that restart, cut, wait and shut down under an open stream."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from servers import postgres
from tailrace.error import CheckFailed, ConfigError, Fatal, HistoryLost, Retryable
from tailrace.model import Limits
from tailrace.source import Postgres
from tailrace.source.postgres import snapshot
from tailrace.source.postgres.place import Place, parse_lsn
from tests.server.postgres.reading import PATIENCE_S, Make, Reading, Sql, eventually

Start = Callable[..., postgres.Server]


@pytest.fixture
def shop(any_database: str, sql: Sql) -> str:
    sql(any_database, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    return any_database


def reads_until_it_breaks(it: Reading) -> None:
    while True:
        it.read()


@pytest.mark.parametrize("snapshot", ["initial", "never"])
def test_i8_a_message_above_the_limit_stops_the_pipeline(shop: str, sql: Sql, reading: Make, snapshot: str) -> None:
    it = reading(shop, snapshot=snapshot)
    if snapshot == "never":
        it.open().first().close()
    sql(shop, "INSERT INTO orders VALUES (1, 'small'), (2, repeat('x', 200000))")
    it.limits = Limits(frame_bytes_max=100_000)
    for _ in range(2):  # it comes again and again
        it.open()
        with pytest.raises(
            Fatal, match=r"a message of 2\d{5} bytes is larger than frame_bytes_max = 100000"
        ) as refused:
            reads_until_it_breaks(it)
        assert "raise limits.frame_bytes_max" in (refused.value.hint or "")
        it.close()
    it.limits = Limits()
    it.open().until(lambda: {"id": "2"} in [change.key for change in it.seen])


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_restart_is_retryable_and_nothing_is_lost(
    sql: Sql, reading: Make, start_postgres: Start, mode: str
) -> None:
    server = start_postgres(18)
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never").open()
    sql(server.url, "INSERT INTO orders VALUES (1)")
    it.count(1)
    stopper = threading.Thread(target=server.stop, args=(mode,))
    stopper.start()
    with pytest.raises(Retryable):
        reads_until_it_breaks(it)
    stopper.join()
    with pytest.raises(Retryable):
        it.restart()
    server.start()
    server.execute("INSERT INTO orders VALUES (2)")
    it.restart().count(2)
    assert [change.key for change in it.seen] == [{"id": "1"}, {"id": "2"}]


def test_i6_a_new_timeline_is_followed_when_it_left_ours_after_the_saved_position(
    sql: Sql, reading: Make, start_postgres: Start
) -> None:
    server = start_postgres(18)
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1)")
    it = reading(server.url).open()
    it.until(lambda: len(it.batches) > 1)
    (there,) = it.batches[-1].positions
    it.close()
    server.stop()
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'false'\n")
    (server.data / "recovery.signal").touch(mode=0o666)
    server.start()
    eventually(lambda: sql(server.url, "SELECT pg_is_in_recovery()") == [(False,)])
    server.execute("INSERT INTO orders VALUES (2)")
    it.open().count(2)
    assert it.saved is not None and (Place.of(there).timeline, Place.of(it.saved).timeline) == (1, 2)
    it.close()
    beyond = Place.of(it.saved)
    it.positions.claim(there.lineage)
    it.positions.save([Place(beyond.lsn, beyond.phase, 0, 1, beyond.end).position(there.lineage)])
    with pytest.raises(HistoryLost, match=r"timeline 1 was left at .*, before the saved"):
        it.open()


@pytest.mark.parametrize("backend", ["walsender", "client backend"])
def test_a_terminated_session_is_retryable(shop: str, sql: Sql, reading: Make, backend: str) -> None:
    it = reading(shop, snapshot="never").open()
    sql(shop, "INSERT INTO orders VALUES (1)")
    it.count(1)
    sql(
        shop,
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database()"
        f" AND application_name = 'tailrace' AND backend_type = '{backend}'",
    )
    sql(shop, "ALTER TABLE orders ADD n int", "INSERT INTO orders VALUES (2)")
    with pytest.raises(Retryable):
        reads_until_it_breaks(it)
    it.restart().count(2)


def test_a_session_terminated_during_the_snapshot_is_retryable(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) AS i")
    it = reading(shop)
    it.limits = Limits(segment_bytes=1 << 14)
    it.open().count(1)
    sql(
        shop,
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'tailrace' AND query LIKE 'COPY%'",
    )
    with pytest.raises(Retryable):
        reads_until_it_breaks(it)
    it.restart()
    it.until(lambda: it.batches[-1].snapshot is None)
    assert len(it.rows()) == 30000


def test_i6_a_slot_dropped_under_the_stream_is_history_lost(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(
        shop,
        "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots"
        f" WHERE slot_name = 'tailrace_{it.name}'",
    )
    sql(shop, f"SELECT pg_drop_replication_slot('tailrace_{it.name}')")
    with pytest.raises(Retryable):
        reads_until_it_breaks(it)
    with pytest.raises(HistoryLost, match="does not exist any more"):
        it.restart()


def test_i6_a_publication_dropped_under_the_stream_is_history_lost(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open()
    sql(shop, "INSERT INTO orders VALUES (1)")
    it.count(1)
    sql(shop, f"DROP PUBLICATION tailrace_{it.name}")
    sql(shop, "INSERT INTO orders VALUES (2)")
    sql(shop, f"CREATE PUBLICATION tailrace_{it.name} FOR TABLE orders")
    sql(shop, "INSERT INTO orders VALUES (3)")
    with pytest.raises(HistoryLost, match="publication"):
        reads_until_it_breaks(it)
    assert len(it.seen) == 1
    with pytest.raises(HistoryLost, match="publication"):  # it is there again, but has no past
        reads_until_it_breaks(it.restart())
    assert len(it.seen) == 1


def test_i11_a_stuck_sink_does_not_cost_the_connection(sql: Sql, reading: Make, start_postgres: Start) -> None:
    server = start_postgres(18, settings={"wal_sender_timeout": "5s"})
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never").open()
    sql(server.url, "INSERT INTO orders VALUES (1)")
    it.count(1)
    (walsender,) = sql(server.url, "SELECT pid FROM pg_stat_replication")
    much = "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(2, 50000) AS i"
    writer = threading.Thread(target=sql, args=(server.url, much))
    stuck = threading.Timer(11.0, writer.start)
    stuck.start()
    while stuck.is_alive() or writer.is_alive():
        it.stream.tend()
        stuck.join(0.1)
    assert sql(server.url, "SELECT pid FROM pg_stat_replication") == [walsender]
    it.count(50000)


def test_an_idle_stream_does_not_hold_up_the_servers_shutdown(sql: Sql, reading: Make, start_postgres: Start) -> None:
    server = start_postgres(18)
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never")
    it.limits = Limits(progress_interval_s=600)
    it.open().first()
    sql(server.url, "CREATE TABLE other (id int)")
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    with pytest.raises(Retryable):
        reads_until_it_breaks(it)
    it.close()
    stopper.join(PATIENCE_S)
    assert not stopper.is_alive()  # it did not wait for wal_sender_timeout, nor for the next progress


def test_a_stuck_sink_does_not_hold_up_the_servers_shutdown(sql: Sql, reading: Make, start_postgres: Start) -> None:
    server = start_postgres(18)
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never").open().first()
    sql(server.url, "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) AS i")
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    with pytest.raises(Retryable):
        while stopper.is_alive():
            it.stream.tend()
            stopper.join(0.1)
    it.close()
    stopper.join(PATIENCE_S)
    assert not stopper.is_alive()


def test_an_idle_slot_advances_though_nothing_of_ours_changes(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "CREATE UNLOGGED TABLE noise (x text)", "CREATE TABLE other (x text)", "INSERT INTO other VALUES ('x')")
    goal = parse_lsn(sql(shop, "SELECT pg_current_wal_lsn()::text")[0][0])

    def advanced() -> bool:
        slot = f"SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'tailrace_{it.name}'"
        return parse_lsn(sql(shop, slot)[0][0]) >= goal

    it.until(advanced)
    assert it.seen == [] and it.saved is not None and Place.of(it.saved).end >= goal


def test_what_is_not_confirmed_is_kept_by_the_slot(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "INSERT INTO orders VALUES (1)")
    before = parse_lsn(sql(shop, "SELECT pg_current_wal_lsn()::text")[0][0])
    sql(shop, "INSERT INTO orders VALUES (2)")
    it.until(lambda: len(it.seen) == 2 and bool(it.stream.tend() is None), save=False)
    it.close()
    slot = f"SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'tailrace_{it.name}'"
    assert parse_lsn(sql(shop, slot)[0][0]) < before


def test_a_streamed_transaction_loses_just_what_its_subtransactions_rolled_back(
    sql: Sql, reading: Make, start_postgres: Start
) -> None:
    server = start_postgres(18, settings={"logical_decoding_work_mem": "64kB"})
    sql(server.url, "CREATE TABLE t (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never").open()
    it.first()
    other = psycopg.connect(server.url)
    other.execute("INSERT INTO t SELECT -i, repeat('o', 100) FROM generate_series(1, 3000) AS i")
    with psycopg.connect(server.url) as connection:
        for block in range(10):
            first = block * 1000 + 1
            connection.execute("SAVEPOINT a")
            connection.execute(
                "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(%s::int, %s) AS i", [first, first + 999]
            )
            if block % 2:
                connection.execute("ROLLBACK TO a")
    other.rollback()
    it.count(5000)
    sql(server.url, "INSERT INTO t VALUES (0, 'last')")
    it.count(5001)
    kept = [i for block in range(0, 10, 2) for i in range(block * 1000 + 1, block * 1000 + 1001)]
    assert [int((change.key or {})["id"]) for change in it.seen] == [*kept, 0]
    assert sql(server.url, "SELECT stream_txns > 0 FROM pg_stat_replication_slots") == [(True,)]
    positions = [change.position for change in it.seen]
    assert positions == sorted(set(positions))


def test_i7_positions_do_not_depend_on_how_the_server_streamed(sql: Sql, reading: Make, start_postgres: Start) -> None:
    server = start_postgres(18, settings={"logical_decoding_work_mem": "64kB"})
    sql(server.url, "CREATE TABLE t (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never").open().first()
    whole = reading(server.url, it.name + "_whole", snapshot="never").open().first()
    whole.close()
    sql(server.url, "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) AS i")
    it.count(5000)
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET logical_decoding_work_mem = '64MB'")
        admin.execute("SELECT pg_reload_conf()")
    whole.open().count(5000)
    texts = [[change.position.text for change in reader.seen] for reader in (it, whole)]
    assert texts[0] == texts[1]


def test_i8_a_transaction_beyond_the_spill_limit_stops_with_a_clear_error(
    sql: Sql, reading: Make, start_postgres: Start, tmp_path: object
) -> None:
    server = start_postgres(18)
    sql(server.url, "CREATE TABLE t (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never")
    it.limits = Limits(transaction_bytes_max=1 << 20, spill_bytes_max=2 << 20)
    it.open().first()
    sql(server.url, "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) AS i")
    with pytest.raises(Fatal, match=r"(?s)could not be spilled.*spill_bytes_max"):
        reads_until_it_breaks(it)


def test_tls_with_a_verified_certificate(sql: Sql, reading: Make, start_postgres: Start) -> None:
    server = start_postgres(18, tls=True)
    sql(server.url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    url = f"{server.url.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert={server.certificate}"
    it = reading(url).open()
    sql(server.url, "INSERT INTO t SELECT generate_series(2, 20000)")
    it.count(20000)
    used = sql(server.url, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)")
    assert used == [(True,)]
    unknown = f"{server.url.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert=/nowhere"
    with pytest.raises(ConfigError, match="certificate"):
        Postgres(unknown).drop("x")


@pytest.mark.parametrize(
    ("ddl", "after"),
    [
        (["TRUNCATE orders", "INSERT INTO orders VALUES (2)"], {"id": "2", "note": None}),
        (["ALTER TABLE orders ALTER id TYPE int8"], {"id": "1", "note": None}),
        (["ALTER TABLE orders RENAME note TO remark"], {"id": "1", "remark": None}),
        (["DROP TABLE doomed"], {"id": "1", "note": None}),
    ],
    ids=["truncate", "rewrite", "rename", "drop table"],
)
def test_ddl_while_the_slot_is_made_restarts_the_snapshot(
    shop: str,
    sql: Sql,
    reading: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ddl: list[str],
    after: object,
) -> None:
    sql(shop, "CREATE TABLE doomed (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
    begin, attempts = snapshot.begin, []

    def begin_after_ddl(*args: Any, **options: Any) -> snapshot.Snapshot:
        attempts.append(1)
        if len(attempts) == 1:
            sql(shop, *ddl)
        return begin(*args, **options)

    monkeypatch.setattr(snapshot, "begin", begin_after_ddl)
    it = reading(shop).open().count(1)
    assert len(attempts) == 2 and "thrown away" in caplog.text
    assert [change.after for change in it.seen] == [after]


def test_row_security_stops_the_snapshot_instead_of_hiding_rows(
    postgres18: postgres.Server, database: str, sql: Sql, reading: Make
) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS reader")
        admin.execute("CREATE ROLE reader LOGIN REPLICATION")
    sql(
        database,
        "CREATE TABLE t (id int PRIMARY KEY)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "GRANT SELECT ON t TO reader",
        "CREATE PUBLICATION p FOR TABLE t",
    )
    it = reading(database.replace("postgres@", "reader@"), publication="p")
    with pytest.raises(CheckFailed, match="row-level security"):
        it.open()
    it.source.drop(it.name)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("DROP OWNED BY reader")
        admin.execute("DROP ROLE reader")


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made again"])
def test_when_needed_takes_a_new_snapshot_when_the_history_is_lost_under_the_stream(
    shop: str, sql: Sql, reading: Make, again: bool
) -> None:
    sql(shop, "INSERT INTO orders VALUES (1)")
    it = reading(shop, snapshot="when_needed").open().count(1)
    sql(shop, "INSERT INTO orders VALUES (2)")
    it.count(2)
    sql(shop, f"DROP PUBLICATION tailrace_{it.name}")
    sql(shop, "INSERT INTO orders VALUES (3)")
    if again:
        sql(shop, f"CREATE PUBLICATION tailrace_{it.name} FOR TABLE orders")
        sql(shop, "INSERT INTO orders VALUES (4)")
    with pytest.raises(Retryable, match="when_needed"):
        reads_until_it_breaks(it)
    total = 4 if again else 3
    it.restart().count(2 + total)
    assert it.ops() == ["r", "c", *["r"] * total]
    sql(shop, "INSERT INTO orders VALUES (5)")
    it.count(3 + total)


def test_when_needed_takes_a_new_snapshot_when_the_slot_is_invalidated_under_the_stream(
    sql: Sql, reading: Make, start_postgres: Start
) -> None:
    server = start_postgres(18, settings={"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB"})
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "CREATE TABLE noise (x text)")
    sql(server.url, "INSERT INTO orders VALUES (1)")
    it = reading(server.url, "lost", snapshot="when_needed", tables=["public.orders"]).open().count(1)
    it.until(lambda: it.batches[-1].snapshot is None)
    slot = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'tailrace_lost'"
    with pytest.raises(Retryable):
        while True:  # a stuck sink: nothing is read or confirmed
            sql(server.url, "INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
            server.execute("SELECT pg_switch_wal()")
            server.execute("CHECKPOINT")
            it.stream.tend()
            if sql(server.url, slot) == [("lost",)]:
                it.read()
    sql(server.url, "INSERT INTO orders VALUES (2)")
    it.restart().until(lambda: it.ops() == ["r", "r", "r"])
