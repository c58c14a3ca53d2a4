"""DDL that empties, rewrites or narrows a table waits while a snapshot reads another one before it: what the snapshot
shows of a table is what it was when it began."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

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
