"""What older rows have in a column that the target lacks: what they got at the source only where it is new there."""

from __future__ import annotations

import pytest

from tests.server.sink.added import pass_by
from tests.server.sink.postgres.road import Road


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


def test_older_rows_do_not_get_the_default_of_a_column_that_is_let_in(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    road.run()
    [[publication]] = road.source.execute("SELECT pubname FROM pg_publication").fetchall()
    road.at_source(f"ALTER PUBLICATION {publication} SET TABLE t (id)")
    road.at_source("ALTER TABLE t ADD status text DEFAULT 'new'", "UPDATE t SET status = 'paid' WHERE id = 1")
    pass_by(road.source, road.run)
    road.at_source(f"ALTER PUBLICATION {publication} SET TABLE t", "INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert road.rows("SELECT id, status FROM t ORDER BY id") == [(1, None), (2, None), (3, "open")]
    assert "the column status was added to" in caplog.text
