"""The core of the source on every PostgreSQL that it supports, 14 to 18."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tailrace.error import ConfigError
from tailrace.model import Severity
from tailrace.source import Postgres
from tests.server.postgres.reading import Make, Sql, eventually


@pytest.fixture
def shop(every_database: str, sql: Sql) -> str:
    sql(every_database, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'one')")
    return every_database


def version(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.info.server_version // 10000


def test_check_finds_nothing_lacking(shop: str) -> None:
    findings = Postgres(shop).check()
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []
    assert f"PostgreSQL {version(shop)}" in [finding.message for finding in findings if finding.subject == "version"]


def test_a_restarted_source_reads_every_kind_of_change_once_and_in_order(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop).open().count(1)
    sql(shop, "INSERT INTO orders VALUES (2, 'two')", "UPDATE orders SET id = 3 WHERE id = 1")
    it.count(3)
    sql(shop, "DELETE FROM orders WHERE id = 2", "SELECT pg_logical_emit_message(true, 'hello', 'world')")
    sql(shop, "ALTER TABLE orders ADD n int", "INSERT INTO orders VALUES (4, 'four', 4)", "TRUNCATE orders")
    it.restart().count(7)
    assert it.ops() == ["r", "c", "u", "d", "m", "c", "t"]
    assert it.seen[5].after == {"id": "4", "note": "four", "n": "4"}
    positions = [change.position for change in it.seen]
    assert positions == sorted(set(positions))


def test_nothing_is_missed_or_doubled_at_the_seam(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "INSERT INTO orders SELECT i, 'x' FROM generate_series(2, 5000) AS i")
    written = threading.Event()

    def write() -> None:
        with psycopg.connect(shop, autocommit=True) as writer:
            for at in range(5001, 5301):
                writer.execute("INSERT INTO orders VALUES (%s, 'y')", [at])
        written.set()

    threading.Thread(target=write).start()
    it = reading(shop, snapshot_readers=2).open()
    it.until(lambda: written.is_set() and len(it.seen) >= 5300)
    assert sorted(int((change.key or {})["id"]) for change in it.seen) == list(range(1, 5301))


def test_a_large_transaction_is_streamed_and_loses_just_what_was_rolled_back(
    shop: str, sql: Sql, reading: Make
) -> None:
    sql(shop, f"ALTER DATABASE {shop.rpartition('/')[2]} SET logical_decoding_work_mem = '64kB'")
    it = reading(shop, snapshot="never").open().first()
    with psycopg.connect(shop) as writer:
        for first in range(10_000, 20_000, 2000):
            writer.execute("INSERT INTO orders SELECT i, repeat('x', 100) FROM generate_series(%s::int, %s) AS i",
                           [first, first + 999])  # fmt: skip
            writer.execute("SAVEPOINT a")
            writer.execute("INSERT INTO orders SELECT i, 'gone' FROM generate_series(%s::int, %s) AS i",
                           [first + 1000, first + 1999])  # fmt: skip
            writer.execute("ROLLBACK TO a")
    it.count(5000)
    assert not [change for change in it.seen if (change.after or {})["note"] == "gone"]
    slot = f"SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = 'tailrace_{it.name}'"
    eventually(lambda: sql(shop, slot) == [(True,)])


def test_publications_send_what_their_version_can(shop: str, sql: Sql, reading: Make) -> None:
    major = version(shop)
    sql(shop, "CREATE TABLE parted (id int PRIMARY KEY, note text) PARTITION BY RANGE (id)")
    sql(shop, "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    filtered = "TABLE orders (id) WHERE (id < 10), parted" if major >= 15 else "TABLE orders, parted"
    sql(shop, f"CREATE PUBLICATION p FOR {filtered} WITH (publish_via_partition_root = true)")
    it = reading(shop, publication="p").open().count(1)
    sql(shop, "INSERT INTO orders VALUES (2, 'two'), (11, 'eleven')", "INSERT INTO parted VALUES (1, 'p')")
    it.count(3 if major >= 15 else 4)
    rows = [(change.table, change.after) for change in it.seen[1:]]
    if major >= 15:
        assert rows == [("public.orders", {"id": "2"}), ("public.parted", {"id": "1", "note": "p"})]
    else:
        assert [table for table, _ in rows] == ["public.orders", "public.orders", "public.parted"]


def test_changes_of_another_origin_are_left_out_from_16_on(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never", origin="none")
    if version(shop) < 16:
        with pytest.raises(ConfigError, match="needs PostgreSQL 16"):
            it.open()
        return
    it.open().first()
    with psycopg.connect(shop, autocommit=True) as other:
        other.execute("SELECT pg_replication_origin_create('far' || current_database())")
        other.execute("SELECT pg_replication_origin_session_setup('far' || current_database())")
        other.execute("INSERT INTO orders VALUES (2, 'far')")
        other.execute("SELECT pg_replication_origin_session_reset()")
        other.execute("SELECT pg_replication_origin_drop('far' || current_database())")
    sql(shop, "INSERT INTO orders VALUES (3, 'near')")
    it.count(1)
    assert it.seen[0].key == {"id": "3"}
