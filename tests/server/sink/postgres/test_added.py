"""What older rows have in a column that the target lacks: what they got at the source only where it is new there."""

from __future__ import annotations

import psycopg
import pytest

from tailrace.model import Column, Limits, Table
from tailrace.sink.postgres import Postgres
from tests.server.sink.added import pass_by
from tests.server.sink.postgres.road import Road
from tests.unit.sink.feed import LINEAGE, ORDERS, Feed


def test_older_rows_do_not_get_the_default_of_a_column_that_was_renamed(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    road.at_source("ALTER TABLE t ADD status text NOT NULL DEFAULT 'new'", "UPDATE t SET status = 'paid' WHERE id = 1")
    road.run()
    road.at_source("ALTER TABLE t RENAME status TO state", "INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert road.rows("SELECT id, state FROM t ORDER BY id") == [(1, None), (2, None), (3, "open")]
    assert "the column state was added to" in caplog.text and "renamed, or left out); `tailrace verify" in caplog.text
    caplog.clear()
    road.at_source(
        "ALTER TABLE t RENAME state TO was", "ALTER TABLE t ADD state text DEFAULT 'new', ADD n int DEFAULT 7"
    )
    road.at_source("INSERT INTO t VALUES (4, 'paid')")
    road.run()
    assert road.rows("SELECT n, was FROM t WHERE id = 1") == [(7, None)]
    road.at_source("ALTER TABLE t ADD kind text NOT NULL DEFAULT 'plain'", "INSERT INTO t VALUES (5, 'paid')")
    road.run()
    assert road.rows("SELECT DISTINCT kind FROM t") == [("plain",)]
    assert "column n " not in caplog.text and "column kind " not in caplog.text


def listed(road: Road) -> str:
    """The pipeline's publication, which sends of the table t, with two rows, nothing but the key from here on."""
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    road.run()
    [[name]] = road.source.execute("SELECT pubname FROM pg_publication").fetchall()
    road.at_source(f"ALTER PUBLICATION {name} SET TABLE t (id)")
    return str(name)


def test_older_rows_do_not_get_the_default_of_a_column_that_is_let_in(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    publication = listed(road)
    road.at_source("ALTER TABLE t ADD status text DEFAULT 'new'", "UPDATE t SET status = 'paid' WHERE id = 1")
    pass_by(road.source, road.run)
    road.at_source(f"ALTER PUBLICATION {publication} SET TABLE t", "INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert road.rows("SELECT id, status FROM t ORDER BY id") == [(1, None), (2, None), (3, "open")]
    assert "the column status was added to" in caplog.text


def test_a_column_that_a_list_left_out_since_it_was_added_is_not_taken_for_new(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    publication = listed(road)
    road.at_source("ALTER TABLE t ADD status text NOT NULL DEFAULT 'new'")
    road.at_source("UPDATE t SET status = 'paid' WHERE id = 1")
    road.at_source(f"ALTER PUBLICATION {publication} SET TABLE t", "INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert road.rows("SELECT id, status FROM t ORDER BY id") == [(1, None), (2, None), (3, "open")]
    assert "the column status was added to" in caplog.text
    caplog.clear()
    road.at_source("ALTER TABLE t ADD n int DEFAULT 7", "INSERT INTO t VALUES (4, 'open')")
    road.run()
    assert road.rows("SELECT DISTINCT n FROM t") == [(7,)]
    assert "the column n " not in caplog.text


def test_of_a_column_of_a_quiet_table_nothing_is_told_though_the_pipeline_was_started_again(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)", "CREATE TABLE u (id int)")
    road.run()
    road.at_source("ALTER TABLE t ADD status text")
    pass_by(road.source, road.run, "INSERT INTO u VALUES (1)")
    road.at_source("INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert road.rows("SELECT id, status FROM t ORDER BY id") == [(1, None), (2, None), (3, "open")]
    assert "column" not in caplog.text


def test_a_column_that_is_added_at_the_target_first_is_told_of_as_what_it_may_be(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    road.run()
    road.target.execute("ALTER TABLE t ADD status text")
    road.at_source("ALTER TABLE t ADD status text", "INSERT INTO t VALUES (2, 'open')")
    road.run()
    assert road.rows("SELECT id, status FROM t ORDER BY id") == [(1, None), (2, "open")]
    assert "the column status was in public.t already" in caplog.text and "or added there by hand)" in caplog.text
    caplog.clear()
    road.at_source("INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert "column" not in caplog.text


@pytest.mark.parametrize("restart", [True, False])
def test_a_column_that_is_renamed_behind_an_older_letter_is_not_taken_for_new(
    database: str, caplog: pytest.LogCaptureFixture, restart: bool
) -> None:
    def table(*names: str) -> Table:
        columns = (Column(name, "text", backfill="new", defaulted=True) for name in names)
        return Table("public", "orders", [*ORDERS.columns, *columns], key=["id"], oid=7)

    feed, sink = Feed(), Postgres(database)
    writer = sink.open("p", Limits())
    writer.claim(LINEAGE)
    writer.write(feed.commit(("c", {"id": "1", "note": "a"}), table=table()))
    letter = feed.commit(("c", {"id": "9", "note": "b"}), table=table())
    writer.write(feed.commit(("c", {"id": "2", "note": "c", "status": "paid"}), table=table("status")))
    writer.write(last := feed.commit(("u", {"id": "1", "note": "a", "status": "open"}), table=table("status")))
    writer.write(last.with_changes(list(letter)))
    if restart:
        writer.close()
        writer = sink.open("p", Limits())
        writer.claim(LINEAGE)
    writer.write(feed.commit(("c", {"id": "3", "note": "d", "state": "sent"}), table=table("state")))
    writer.close()
    with psycopg.connect(database) as target:
        rows = target.execute("SELECT id, state FROM orders ORDER BY id").fetchall()
    assert rows == [(1, None), (2, None), (3, "sent"), (9, None)]
    assert "the column state was added to" in caplog.text and "renamed, or left out); `tailrace verify" in caplog.text


def test_columns_without_a_default_that_are_renamed_let_in_or_come_back_are_told(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, a text, b text)", "INSERT INTO t VALUES (1, 'a', 'b')")
    road.run()
    [[publication]] = road.source.execute("SELECT pubname FROM pg_publication").fetchall()
    road.at_source("ALTER TABLE t RENAME a TO c", "INSERT INTO t VALUES (2, 'c', 'b')")
    road.run()
    assert "the column c was added to public.t" in caplog.text and "renamed, or left out)" in caplog.text
    road.at_source("ALTER TABLE t ADD a text", "INSERT INTO t VALUES (3, 'c', 'b', 'new')")
    road.run()
    assert "the column a was in public.t already (of one that was dropped, renamed or left out, or added" in caplog.text
    road.at_source(f"ALTER PUBLICATION {publication} SET TABLE t (id, b, c, a)", "ALTER TABLE t ADD d text")
    road.at_source("UPDATE t SET d = 'set' WHERE id = 1", f"ALTER PUBLICATION {publication} SET TABLE t")
    road.at_source("INSERT INTO t VALUES (4, 'c', 'b', 'new', 'd')")
    road.run()
    assert "the column d was added to public.t: rows from before have null in it" in caplog.text
    rows = [(1, None, "b", "a", None), (2, None, "b", "c", None), (3, "new", "b", "c", None), (4, "new", "b", "c", "d")]
    assert road.rows("SELECT id, a, b, c, d FROM t ORDER BY id") == rows
    caplog.clear()
    road.at_source("ALTER TABLE t ADD e text", "INSERT INTO t VALUES (5, 'c', 'b', 'new', 'd', 'e')")
    road.run()
    assert "column" not in caplog.text
