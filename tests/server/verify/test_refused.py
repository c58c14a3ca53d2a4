"""What the target refuses of a repair: who asked is told, the pipeline goes on, and what helps elsewhere is tried."""

from __future__ import annotations

from pathlib import Path

import psycopg

from tailrace.sink.postgres import Postgres as PostgresSink
from tests import waiting
from tests.server.sink.postgres.test_standing import plain_role
from tests.server.verify.stand import Stand, found, keys, only


def test_a_row_that_the_target_refuses_is_told_and_holds_nothing_up(
    database: str, target_database: str, tmp_path: Path
) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
    stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 20) AS i")
    stand.start()
    with psycopg.connect(target_database, autocommit=True) as there:
        there.execute("UPDATE items SET n = -1 WHERE id IN (5, 13)")
        there.execute("ALTER TABLE items ADD CONSTRAINT lucky CHECK (n <> 13)")
        report = only(stand.verify(repair=True))
        assert (found(report), report.repaired) == ({"different": keys(5, 13)}, 1)
        assert "refused 1 row(s), the first: check violation" in (report.obstacle or "")
        stand.source.execute("UPDATE items SET n = 14 WHERE id = 13")
        after = "SELECT n FROM items WHERE id = 13"
        waiting.until(lambda: there.execute(after.encode()).fetchone() == (14,), "for the row's next change")
        assert not stand.pipeline.status().dead_letters
        stand.close()


def test_rows_that_refer_to_each_other_are_repaired_whatever_the_order_of_their_tables(
    database: str, target_database: str, tmp_path: Path
) -> None:
    tables = ("CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE a (id int PRIMARY KEY, b int REFERENCES b)")
    more = ("CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a)",)
    with plain_role(target_database) as url, psycopg.connect(target_database, autocommit=True) as there:
        with psycopg.connect(url, autocommit=True) as owner:
            for statement in (*tables, *more):
                owner.execute(statement.encode())
        stand = Stand(database, PostgresSink(url), tmp_path)
        for statement in (*tables, *more):
            stand.source.execute(statement.encode())
        stand.start()
        with stand.source.transaction():
            for table in ("b (id) SELECT i", "a (id, b) SELECT i, i", "c (id, a) SELECT i, i"):
                stand.source.execute(f"INSERT INTO {table} FROM generate_series(1, 9) i".encode())
        waiting.until(lambda: there.execute("SELECT count(*) FROM c").fetchone() == (9,), "for the rows")
        there.execute("SET session_replication_role = replica")
        for statement in (
            "DELETE FROM a WHERE id < 4",
            "DELETE FROM b WHERE id < 4",
            "INSERT INTO b VALUES (77)",
            "INSERT INTO a VALUES (77, 77)",
            "INSERT INTO c VALUES (77, 77)",
        ):
            there.execute(statement.encode())
        report = stand.verify(repair=True)
        stand.close()
    assert [(table.differences, table.obstacle) for table in report.tables] == [(0, None)] * 3
    assert [table.repaired for table in report.tables] == [4, 4, 1]
    assert report.exit_code == 0
