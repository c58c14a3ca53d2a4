"""Snapshot and stream of a real server, change by change."""

from __future__ import annotations

import logging
import threading
from itertools import groupby

import psycopg
import pytest

from tailrace.model import Limits, Severity
from tailrace.source import Postgres
from tailrace.source.postgres import walsender
from tailrace.source.postgres.place import Place, format_lsn
from tests.server.postgres.reading import Make, Seen, Sql, eventually


@pytest.fixture
def shop(any_database: str, sql: Sql) -> str:
    sql(any_database, "CREATE TABLE orders (id int PRIMARY KEY, note text, amount numeric(12,2))")
    return any_database


def images(change: Seen) -> tuple[object, ...]:
    return change.op, change.key, change.before, change.after


def test_rows_of_the_snapshot_come_first_then_every_change_in_commit_order(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1.50), (2, NULL, 2)")
    it = reading(shop).open()
    sql(shop, "INSERT INTO orders VALUES (3, 'three', 3)", "UPDATE orders SET note = 'uno' WHERE id = 1")
    sql(shop, "DELETE FROM orders WHERE id = 2")
    it.count(5)
    assert [images(change) for change in it.seen] == [
        ("r", {"id": "1"}, None, {"id": "1", "note": "one", "amount": "1.50"}),
        ("r", {"id": "2"}, None, {"id": "2", "note": None, "amount": "2.00"}),
        ("c", {"id": "3"}, None, {"id": "3", "note": "three", "amount": "3.00"}),
        ("u", {"id": "1"}, None, {"id": "1", "note": "uno", "amount": "1.50"}),
        ("d", {"id": "2"}, {"id": "2"}, None),
    ]
    positions = [change.position for change in it.seen]
    assert positions == sorted(set(positions))


def test_the_progress_after_the_last_table_says_that_the_snapshot_is_complete(
    shop: str, sql: Sql, reading: Make
) -> None:
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)")
    it = reading(shop).open().count(1)
    assert it.saved is not None and not Place.of(it.saved).snapshot_complete
    it.until(lambda: len(it.batches) == 2)
    assert Place.of(it.saved).snapshot_complete and len(it.batches[1]) == 0


def test_i1_the_server_is_told_the_end_of_what_was_saved_and_nothing_of_what_was_only_read(
    shop: str, sql: Sql, reading: Make
) -> None:
    it = reading(shop, snapshot="never").open().first()
    slot = f"slot_name = 'tailrace_{it.name}'"
    confirmed = f"SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE {slot}"
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)")
    it.count(1)
    assert it.saved is not None
    end = format_lsn(Place.of(it.saved).end)
    it.close()  # with the last words, since none came before
    eventually(lambda: sql(shop, confirmed) == [(end,)])
    it.open()
    sql(shop, "INSERT INTO orders VALUES (2, 'two', 2)")
    it.until(lambda: len(it.seen) == 2, save=False)
    read = format_lsn(Place.of(it.seen[1].position).end)
    told = f"SELECT write_lsn >= '{read}' FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid"
    it.until(lambda: sql(shop, f"{told} WHERE {slot}") == [(True,)], save=False)
    assert sql(shop, confirmed) == [(end,)]
    it.restart().count(3)
    assert it.seen[2] == it.seen[1]


@pytest.mark.parametrize("readers", [1, 3])
def test_tables_of_a_snapshot_come_whole_and_one_after_another(
    shop: str, sql: Sql, reading: Make, readers: int
) -> None:
    for table in "abcd":
        sql(shop, f"CREATE TABLE {table} (id int PRIMARY KEY, note text)")
        sql(shop, f"INSERT INTO {table} SELECT i, repeat('x', 100) FROM generate_series(1, 20000) AS i")
    it = reading(shop, snapshot_readers=readers)
    it.limits = Limits(progress_interval_s=0.2, batch_bytes_max=500_000)
    it.open(until_current=True).to_end()
    marks = [batch.snapshot for batch in it.batches if batch.snapshot is not None]
    runs = [(name, list(run)) for name, run in groupby(marks, lambda mark: str(mark.table))]
    assert sorted(name for name, _ in runs) == sorted([*(f"public.{name}" for name in "abcd"), "public.orders"])
    for name, own in runs:
        assert [mark.begin for mark in own] == [True] + [False] * (len(own) - 1)
        assert [mark.end for mark in own] == [False] * (len(own) - 1) + [True]
        assert name == "public.orders" or len(own) > 1, "a table of several batches"


def test_readers_read_other_tables_while_the_first_is_delivered(shop: str, sql: Sql, reading: Make) -> None:
    for table in "abcd":
        sql(shop, f"CREATE TABLE {table} (id int PRIMARY KEY, note text)")
        sql(shop, f"INSERT INTO {table} SELECT i, repeat('x', 300) FROM generate_series(1, 6000) AS i")
    sql(shop, "DROP TABLE orders")
    it = reading(shop, snapshot_readers=3)
    it.limits = Limits(progress_interval_s=0.2, batch_bytes_max=500_000)
    it.open(until_current=True).first()
    mark = it.batches[0].snapshot
    assert mark is not None and not mark.end, "most of the first table is still to come"
    # What a session is doing, or did last.
    copies = "SELECT DISTINCT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"
    eventually(lambda: len(sql(shop, copies)) == 3)
    it.to_end()
    assert len(it.seen) == 4 * 6000


@pytest.mark.parametrize("readers", [1, 3])
def test_nothing_is_missed_or_doubled_at_the_seam_while_writers_write(
    shop: str, sql: Sql, reading: Make, readers: int
) -> None:
    for table in ("a", "b", "c", "d"):
        sql(shop, f"CREATE TABLE {table} (id int PRIMARY KEY, n int)")
        sql(shop, f"INSERT INTO {table} SELECT i, 0 FROM generate_series(1, 20000) AS i")
    stop = threading.Event()

    def write(seed: int) -> None:
        with psycopg.connect(shop, autocommit=True) as connection:
            number = 20000
            while not stop.is_set():
                number += 1
                table = "abcd"[number % 4].encode()
                with connection.transaction():
                    connection.execute(b"INSERT INTO %s VALUES (%d, %d)" % (table, number * 2 + seed, number))
                    connection.execute(b"UPDATE %s SET n = n + 1 WHERE id = %d" % (table, number % 1000 + 1))
                    connection.execute(b"DELETE FROM %s WHERE id = %d" % (table, 19000 - number % 5000))

    writers = [threading.Thread(target=write, args=(seed,)) for seed in (0, 1)]
    for writer in writers:
        writer.start()
    try:
        it = reading(shop, snapshot_readers=readers).open()
        it.until(lambda: "c" in it.ops())
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    it.restart(until_current=True)
    it.to_end()
    for table in ("a", "b", "c", "d"):
        there = {(f"public.{table}", str(i)): {"id": str(i), "n": str(n)} for i, n in sql(shop, f"TABLE {table}")}
        assert {key: row for key, row in it.rows().items() if key[0] == f"public.{table}"} == there
    positions = [change.position for change in it.seen]
    assert positions == sorted(set(positions))


def test_i7_what_was_not_saved_comes_again_with_the_same_positions(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "INSERT INTO orders SELECT i, 'x', i FROM generate_series(1, 10) AS i")
    it.until(lambda: len(it.seen) == 10, save=False)
    first, it.seen = it.seen, []
    it.restart().count(10)
    assert it.seen == first


def test_i6_what_was_saved_does_not_come_again(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop).open()
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)")
    it.count(1)
    sql(shop, "INSERT INTO orders VALUES (2, 'two', 2)")
    it.restart().count(2)
    it.restart(until_current=True).to_end()
    assert [change.key for change in it.seen] == [{"id": "1"}, {"id": "2"}]


def test_until_current_ends_when_all_that_was_committed_at_the_call_was_read(
    shop: str, sql: Sql, reading: Make
) -> None:
    sql(shop, "INSERT INTO orders SELECT i, 'x', i FROM generate_series(1, 100) AS i")
    it = reading(shop).open(until_current=True).to_end()
    assert len(it.seen) == 100
    it.restart(until_current=True).to_end()
    sql(shop, "INSERT INTO orders VALUES (1000, 'x', 1)")
    it.restart(until_current=True).to_end()
    assert len(it.seen) == 101


def test_snapshot_only_ends_and_leaves_no_slot(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)")
    it = reading(shop, snapshot="only").open().to_end()
    assert it.ops() == ["r"]
    # The slot is temporary: the server drops it when it notices that its session has ended.
    slots = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    eventually(lambda: sql(shop, slots) == [])
    it.restart().to_end()
    assert it.ops() == ["r"]


def test_i15_an_interrupted_snapshot_is_a_new_attempt(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "INSERT INTO orders SELECT i, 'x', i FROM generate_series(1, 50000) AS i")
    it = reading(shop)
    it.limits = Limits(segment_bytes=1 << 14)
    it.open().count(1)
    assert 0 < len(it.seen) < 50000
    sql(shop, "DELETE FROM orders WHERE id <= 10")
    it.restart()
    it.until(lambda: it.batches[-1].snapshot is None)
    marks = [mark for batch in it.batches if (mark := batch.snapshot) is not None]
    attempts = list(dict.fromkeys(mark.attempt for mark in marks))
    assert len(attempts) == 2
    last = [mark for mark in marks if mark.attempt == attempts[1]]
    assert [mark.begin for mark in last] == [True] + [False] * (len(last) - 1)
    assert [mark.end for mark in last] == [False] * (len(last) - 1) + [True]
    fresh = [c for b in it.batches if b.snapshot is not None and b.snapshot.attempt == attempts[1] for c in b]
    assert len(fresh) == 49990


def test_a_stream_that_is_closed_has_let_go_of_its_slot(
    shop: str, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walsender, "_FAREWELL_S", 60.0)  # as long as a slow machine needs
    it = reading(shop, snapshot="never")
    active = f"SELECT active FROM pg_replication_slots WHERE slot_name = 'tailrace_{it.name}'"
    for _ in range(5):
        it.open().first().close()
        assert sql(shop, active) == [(False,)]


def test_an_empty_table_begins_and_ends_in_one_batch(shop: str, reading: Make) -> None:
    it = reading(shop).open().first()
    (mark,) = [batch.snapshot for batch in it.batches]
    assert mark is not None and mark.begin and mark.end and str(mark.table) == "public.orders"


def test_an_unchanged_toast_cell_is_told_apart_from_null(shop: str, sql: Sql, reading: Make) -> None:
    sql(
        shop,
        "CREATE TABLE docs (id int PRIMARY KEY, body text, n int)",
        "ALTER TABLE docs ALTER body SET STORAGE EXTERNAL",
    )
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "INSERT INTO docs VALUES (1, repeat('x', 10000), 0)")
    sql(shop, "UPDATE docs SET n = 1")
    sql(shop, "UPDATE docs SET body = NULL")
    it.count(3)
    assert [change.after and change.after["body"] for change in it.seen] == ["x" * 10000, ..., None]


@pytest.mark.parametrize(
    ("identity", "key", "before"),
    [
        ("DEFAULT", {"id": "1"}, {"id": "1"}),
        ("FULL", {"id": "1"}, {"id": "1", "code": "a", "n": "1"}),
        ("USING INDEX by_code", {"code": "a"}, {"code": "a"}),
    ],
)
def test_a_replica_identity_decides_what_a_delete_shows(
    any_database: str, sql: Sql, reading: Make, identity: str, key: object, before: object
) -> None:
    sql(
        any_database,
        "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, n int)",
        "CREATE UNIQUE INDEX by_code ON t (code)",
        f"ALTER TABLE t REPLICA IDENTITY {identity}",
    )
    it = reading(any_database, snapshot="never").open().first()
    sql(any_database, "INSERT INTO t VALUES (1, 'a', 1)")
    sql(any_database, "DELETE FROM t")
    it.count(2)
    assert (it.seen[1].key, it.seen[1].before) == (key, before)


def test_an_identity_of_nothing_lets_rows_be_added_and_is_warned_of(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "ALTER TABLE t REPLICA IDENTITY NOTHING",
        "INSERT INTO t VALUES (1, 1)",
    )
    [finding] = [each for each in Postgres(any_database).check() if each.subject == "table public.t"]
    assert finding.severity is Severity.WARNING and finding.fix is not None
    it = reading(any_database).open()
    sql(any_database, "INSERT INTO t VALUES (2, 2)")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="does not have a replica identity"):
        sql(any_database, "DELETE FROM t")
    it.count(2)
    assert [images(change) for change in it.seen] == [
        ("r", {"id": "1"}, None, {"id": "1", "n": "1"}),
        ("c", {"id": "2"}, None, {"id": "2", "n": "2"}),
    ]
    sql(any_database, finding.fix, "DELETE FROM t WHERE id = 2")
    it.count(3)
    assert (it.seen[2].op, it.seen[2].key) == ("d", {"id": "2"})


def test_a_key_change_shows_the_old_key(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)")
    sql(shop, "UPDATE orders SET id = 2")
    it.count(2)
    assert images(it.seen[1]) == ("u", {"id": "2"}, {"id": "1"}, {"id": "2", "note": "one", "amount": "1.00"})


def test_a_table_without_any_key_is_an_append_log(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(any_database, "CREATE TABLE log (line text)", "INSERT INTO log VALUES ('a')")
    with caplog.at_level(logging.WARNING):
        it = reading(any_database).open()
    assert 'ALTER TABLE "public"."log" REPLICA IDENTITY FULL' in caplog.text
    sql(any_database, "INSERT INTO log VALUES ('b')")
    it.count(2)
    assert [images(change) for change in it.seen] == [
        ("r", None, None, {"line": "a"}),
        ("c", None, None, {"line": "b"}),
    ]


def test_full_identity_without_a_primary_key_uses_a_unique_index(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        "CREATE TABLE t (a int, b int NOT NULL UNIQUE, c int)",
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "INSERT INTO t VALUES (1, 2, 3)",
    )
    it = reading(any_database).open()
    sql(any_database, "UPDATE t SET c = 4")
    it.count(2)
    assert it.seen[0].key == it.seen[1].key == {"b": "2"}
    assert it.seen[1].before == {"a": "1", "b": "2", "c": "3"}


def test_truncate_is_a_change(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders)")
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)", "TRUNCATE orders CASCADE")
    it.count(3)
    assert [(change.op, change.table) for change in it.seen] == [
        ("c", "public.orders"),
        ("t", "public.orders"),
        ("t", "public.lines"),
    ]


@pytest.mark.parametrize("by_root", [True, False])
def test_a_truncate_of_a_partition_alone_is_told_where_partitions_have_their_own_names(
    shop: str, sql: Sql, reading: Make, by_root: bool
) -> None:
    sql(shop, "CREATE TABLE logs (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    sql(shop, "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (9)")
    it = reading(shop, snapshot="never", publish_via_partition_root=by_root).open().first()
    sql(shop, "INSERT INTO logs VALUES (1)", "TRUNCATE logs_1", "INSERT INTO logs VALUES (2)", "TRUNCATE logs")
    it.count(3 if by_root else 4)
    assert it.ops() == (["c", "c", "t"] if by_root else ["c", "t", "c", "t"])


def test_logical_messages_come_in_order_and_can_be_left_out(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    quiet = reading(shop, it.name + "_q", snapshot="never", messages=False).open().first()
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)", "SELECT pg_logical_emit_message(true, 'tx', 'inside')")
    sql(shop, "SELECT pg_logical_emit_message(false, 'now', 'outside')")
    sql(shop, "DELETE FROM orders")
    it.count(4)
    quiet.count(2)
    assert it.ops() == ["c", "m", "m", "d"] and quiet.ops() == ["c", "d"]
    assert [change.after for change in it.seen[1:3]] == [
        {"prefix": "tx", "content": b"inside"},
        {"prefix": "now", "content": b"outside"},
    ]
    assert [change.position for change in it.seen] == sorted(change.position for change in it.seen)


def test_i7_a_message_that_is_the_first_record_after_a_saved_position_is_not_lost(
    shop: str, sql: Sql, reading: Make
) -> None:
    it = reading(shop, snapshot="never").open().first()
    for number in range(20):
        it.restart(until_current=True).to_end()
        sql(shop, f"SELECT pg_logical_emit_message(false, 'n', '{number}')")
    it.restart(until_current=False).count(20)
    assert [change.after and change.after["content"] for change in it.seen] == [b"%d" % n for n in range(20)]


def test_columns_follow_ddl_within_a_transaction(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(
        shop,
        "INSERT INTO orders VALUES (1, 'one', 1)",
        "ALTER TABLE orders ADD extra int DEFAULT 7",
        "UPDATE orders SET note = 'uno'",
        "ALTER TABLE orders DROP note",
        "ALTER TABLE orders RENAME amount TO total",
        "UPDATE orders SET extra = 8",
    )
    it.count(3)
    assert [change.after for change in it.seen] == [
        {"id": "1", "note": "one", "amount": "1.00"},
        {"id": "1", "note": "uno", "amount": "1.00", "extra": "7"},
        {"id": "1", "total": "1.00", "extra": "8"},
    ]


def test_a_backlog_is_read_as_it_was_written_though_the_catalog_moved_on(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TABLE gone (id int PRIMARY KEY, m mood, a mood[])")
    it = reading(shop, snapshot="never").open().first()
    it.close()
    sql(shop, "INSERT INTO gone VALUES (1, 'ok', '{sad}')")
    sql(shop, "INSERT INTO orders VALUES (1, 'one', 1)")
    sql(shop, "DROP TABLE gone", "DROP TYPE mood", "ALTER TABLE orders RENAME TO invoices")
    sql(shop, "ALTER TABLE invoices ALTER amount TYPE text", "UPDATE invoices SET note = 'new'")
    it.open().until(lambda: it.ops()[-1:] == ["u"])
    assert [(change.table, change.after) for change in it.seen] == [
        ("public.gone", {"id": "1", "m": "ok", "a": "{sad}"}),
        ("public.orders", {"id": "1", "note": "one", "amount": "1.00"}),
        ("public.invoices", {"id": "1", "note": "new", "amount": "1.00"}),
    ]
    assert [column.type for column in it.batches[-1].tables[0].columns][2] in ("numeric(12,2)", "text", "other")


def test_a_table_added_to_the_publication_by_hand_is_streamed_with_a_warning(
    shop: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)")
    sql(shop, f"ALTER PUBLICATION tailrace_{it.name} ADD TABLE late")
    with caplog.at_level(logging.WARNING):
        sql(shop, "INSERT INTO late VALUES (2)")
        it.count(1)
    assert it.seen[0].after == {"id": "2"}
    assert "public.late came into publication" in caplog.text
