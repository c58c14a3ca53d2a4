"""DDL that empties, rewrites or narrows a table waits while a snapshot reads another one before it: what the snapshot
shows of a table is what it was when it began."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tailrace.error import Retryable
from tailrace.source.postgres import plan
from tests.server.postgres.reading import Make, Sql
from tests.waiting import until

FIRST, LAST = 20_000, 50
WAITS = (
    "SELECT 1 FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation"
    " WHERE c.relname = 'b' AND l.mode = 'AccessExclusiveLock' AND NOT l.granted"
)


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize(
    ("ddl", "columns"),
    [
        pytest.param("TRUNCATE b", ["n", "note"], id="truncate"),
        pytest.param("ALTER TABLE b ALTER n TYPE int8 USING n + 1", ["n", "note"], id="rewrite"),
        pytest.param("ALTER TABLE b DROP COLUMN note", ["n"], id="drop column"),
        pytest.param("ALTER TABLE b RENAME note TO remark", ["n", "remark"], id="rename column"),
        pytest.param("DROP TABLE b", [], id="drop table"),
    ],
)
def test_ddl_of_a_table_that_the_snapshot_has_not_read_yet_waits_for_it(
    any_database: str, sql: Sql, reading: Make, ddl: str, columns: list[str], readers: int
) -> None:
    sql(
        any_database,
        "CREATE TABLE a (id int PRIMARY KEY, note text)",
        "CREATE TABLE b (id int PRIMARY KEY, n int, note text)",
        f"INSERT INTO a SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, {FIRST}) AS i",
        f"INSERT INTO b SELECT i, 7, 'kept' FROM generate_series(1, {LAST}) AS i",
    )
    it = reading(any_database, snapshot_readers=readers).open()
    it.until(lambda: bool(it.seen))
    assert {change.table for change in it.seen} == {"public.a"}
    with psycopg.connect(any_database, autocommit=True) as other, ThreadPoolExecutor(1) as pool:
        done = pool.submit(other.execute, ddl.encode())
        until(lambda: done.done() or sql(any_database, WAITS), "for the table to be asked for")
        assert not done.done(), "the snapshot would have read what is not there any more"
        it.count(FIRST + LAST)
        done.result()
    snapshot = [change.after for change in it.seen if change.table == "public.b" and change.op == "r"]
    assert snapshot == [{"id": str(i), "n": "7", "note": "kept"} for i in range(1, LAST + 1)]
    it.until(lambda: it.batches[-1].snapshot is None)
    if not columns:
        return  # there is no table any more
    sql(any_database, "INSERT INTO b (id, n) VALUES (1000, 9)")
    it.until(lambda: it.seen[-1].key == {"id": "1000"})
    assert [change.op for change in it.seen[FIRST + LAST :]] == [*(["t"] if ddl.startswith("TRUNCATE") else []), "c"]
    assert list(it.seen[-1].after or ()) == ["id", *columns]


def test_ddl_of_a_table_that_another_session_reads_later_waits_for_it_too(
    any_database: str, sql: Sql, reading: Make
) -> None:
    """It waits for the first session, which has all tables; the other one would come behind it."""
    sql(
        any_database,
        *(f"CREATE TABLE {name} (id int PRIMARY KEY, note text)" for name in "acdb"),
        *(f"INSERT INTO {name} SELECT i, repeat('v', 1024) FROM generate_series(1, {FIRST}) AS i" for name in "ab"),
        *(f"INSERT INTO {name} SELECT i, 'kept' FROM generate_series(1, {LAST}) AS i" for name in "cd"),
    )
    it = reading(any_database, snapshot_readers=2, tables=[f"public.{name}" for name in "abcd"]).open()
    it.until(lambda: bool(it.seen))
    with psycopg.connect(any_database, autocommit=True) as other, ThreadPoolExecutor(1) as pool:
        done = pool.submit(other.execute, "TRUNCATE d")
        waits = WAITS.replace("'b'", "'d'")
        until(lambda: done.done() or sql(any_database, waits), "for the table to be asked for")
        assert not done.done()
        try:
            it.count(2 * (FIRST + LAST))
        finally:
            other.cancel_safe()
        assert [change.table for change in it.seen[:: 2 * (FIRST + LAST) - 1]] == ["public.a", "public.d"]


@pytest.mark.parametrize(
    ("ddl", "rows"),
    [
        ("TRUNCATE b", []),
        ("ALTER TABLE b ALTER n TYPE int8 USING n + 1", [{"id": "1", "n": "8"}]),
        ("DROP TABLE b", []),
    ],
    ids=["truncate", "rewrite", "drop table"],
)
def test_ddl_waits_once_the_snapshot_has_seen_that_its_tables_are_what_they_were_and_goes_on_when_the_opening_fails(
    database: str, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch, ddl: str, rows: list[dict[str, str]]
) -> None:
    sql(database, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY, n int)")
    sql(database, "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1, 7)")
    it, make, asked = reading(database), plan.make, list[Future[Any]]()
    with psycopg.connect(database, autocommit=True) as other, ThreadPoolExecutor(1) as pool:

        def make_meanwhile(*args: Any) -> list[plan.TableCopy]:
            if not asked:
                asked.append(pool.submit(other.execute, ddl.encode()))
                until(lambda: asked[0].done() or sql(database, WAITS), "for the table to be asked for")
                assert not asked[0].done(), "nothing compares the table's file again"
            return make(*args)

        monkeypatch.setattr(plan, "make", make_meanwhile)
        try:
            # What is asked of the catalog of 18 behind that waits for the DDL, and the DDL for the snapshot.
            with pytest.raises(Retryable, match="lock timeout") as failed:
                it.open()
            until(asked[0].done, f"for the DDL to go on, whoever holds the error: {failed.value}")
        finally:
            other.cancel_safe()
        asked[0].result()
    it.restart().until(lambda: bool(it.batches) and it.batches[-1].snapshot is None)
    assert [change.after for change in it.seen] == [{"id": "1"}, *rows]
