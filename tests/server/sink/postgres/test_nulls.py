"""NOT NULL comes and goes at the source, of which the log tells nothing: the target takes every null that is sent."""

from __future__ import annotations

import threading

import pytest

from tests.server.sink.postgres.road import Road
from tests.waiting import until

NOT_NULL = "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND attnotnull"


@pytest.mark.parametrize("rows", [1, 1_000], ids=["statements", "sets"])
def test_nulls_that_are_allowed_under_an_open_stream_are_followed(road: Road, rows: int) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL, w text NOT NULL)")
    pipeline = road.make()
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        until(lambda: road.rows("SELECT to_regclass('t') IS NOT NULL") == [(True,)], "for the table")
        road.at_source("INSERT INTO t VALUES (0, 'a', 'b')")
        until(lambda: road.rows("SELECT id FROM t") == [(0,)], "for the first row")
        assert {name for [name] in road.rows(NOT_NULL)} == {"id", "v", "w"}
        road.at_source("ALTER TABLE t ALTER v DROP NOT NULL, ALTER w DROP NOT NULL")
        road.at_source(
            f"INSERT INTO t SELECT i, NULL, 'b' FROM generate_series(1, {rows}) AS i",
            "UPDATE t SET w = NULL WHERE id = 0",
        )
        until(lambda: len(road.rows("SELECT id FROM t")) == 1 + rows or not thread.is_alive(), "for the nulls")
    finally:
        pipeline.stop()
        thread.join()
    road.same("t")
    assert road.rows(NOT_NULL) == [("id",)]


def test_nulls_that_are_older_than_a_not_null_are_written(road: Road) -> None:
    road.at_source("CREATE TABLE first (id int PRIMARY KEY)")
    road.run()
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v text)")
    road.run()  # from here on the new table is published
    road.at_source("INSERT INTO t VALUES (1, NULL)")
    road.at_source("UPDATE t SET v = 'x'")
    road.at_source("ALTER TABLE t ALTER v SET NOT NULL", "INSERT INTO t VALUES (2, 'y')")
    road.run()
    road.same("t")
    assert road.rows(NOT_NULL) == [("id",)]


def test_a_not_null_that_is_set_later_is_not_followed(road: Road) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')")
    road.run()
    road.at_source("INSERT INTO t VALUES (2, NULL)", "DELETE FROM t WHERE id = 2")
    road.at_source("ALTER TABLE t ALTER v SET NOT NULL", "INSERT INTO t VALUES (3, 'c')")
    road.run()
    road.same("t")
    assert road.rows(NOT_NULL) == [("id",)]


def test_columns_that_only_the_target_has_stay_as_they_are(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')")
    road.run()
    for change in ("ADD w text NOT NULL DEFAULT ''", "ALTER w DROP DEFAULT"):
        road.target.execute(f"ALTER TABLE t {change}".encode())
    road.at_source("INSERT INTO t VALUES (2, 'b')")
    road.run()
    assert (
        "parked 1 change(s)" in caplog.text
        and "not null violation at the target in public.t (key id), column w" in caplog.text
    )
    assert {name for [name] in road.rows(NOT_NULL)} == {"id", "w"}
