"""Keys of types that an extension brought: found by their own equality, whatever the session's search_path."""

from __future__ import annotations

import pytest

from tests.server.sink.postgres.conftest import MakeRoad
from tests.server.sink.postgres.road import Road

KEYS = {"citext": "'Name' || i", "ltree": "('top.n' || i)::ltree", "hstore": "hstore('n', i::text)"}


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("type", KEYS)
def test_rows_are_found_by_a_key_of_the_type_of_an_extension(road: Road, type: str) -> None:
    road.both(f"CREATE EXTENSION {type}")
    road.at_source(
        f"CREATE TABLE t (k {type}, part int, v int, PRIMARY KEY (k, part))",
        f"INSERT INTO t SELECT {KEYS[type]}, i % 3, i FROM generate_series(1, 60) i",
    )
    road.run()
    road.at_source("UPDATE t SET v = v + 100 WHERE v % 2 = 0", "UPDATE t SET part = part + 7 WHERE v < 20")
    road.at_source("DELETE FROM t WHERE v BETWEEN 120 AND 130", "DELETE FROM t WHERE v = 31")
    road.run()
    road.same("t")


@pytest.mark.usefixtures("path")
def test_a_citext_is_the_key_that_it_is_at_the_source(road: Road) -> None:
    road.both("CREATE EXTENSION citext", "CREATE TABLE t (k citext PRIMARY KEY, v int)")
    road.at_source("INSERT INTO t SELECT 'Name' || i, i FROM generate_series(1, 9) i")
    road.run()
    road.target.execute("UPDATE t SET k = upper(k::text)")
    road.at_source("UPDATE t SET v = v + 100", "DELETE FROM t WHERE v > 107")
    road.run()
    assert road.rows("SELECT k::text, v FROM t ORDER BY v") == [(f"NAME{i}", i + 100) for i in range(1, 8)]


def test_a_snapshot_goes_in_among_rows_of_others_by_such_a_key(make_road: MakeRoad) -> None:
    road = make_road(existing="append", constants={"tenant": "Ours"})
    road.both("CREATE EXTENSION citext")
    road.source.execute("CREATE TABLE t (k citext PRIMARY KEY, v int)")
    road.target.execute("CREATE TABLE t (tenant citext, k citext, v int, PRIMARY KEY (tenant, k))")
    road.target.execute("INSERT INTO t VALUES ('theirs', 'a', 1), ('OURS', 'A', 2), ('ours', 'b', 3)")
    road.at_source("INSERT INTO t VALUES ('a', 10), ('c', 30)")
    road.run()
    road.at_source("UPDATE t SET v = v + 1")
    road.run()
    rows = [("theirs", "a", 1), ("ours", "b", 3), ("Ours", "a", 11), ("Ours", "c", 31)]
    assert road.rows("SELECT tenant::text, k::text, v FROM t ORDER BY v") == rows
