"""A table under another name at the target: all that can happen to it, and what is refused."""

from __future__ import annotations

import pytest

from tailrace import transform
from tailrace.error import ConfigError, Fatal
from tests.server.sink.postgres.conftest import MakeRoad

NAMES = {"public.people": "staff.person", "public.people.age": "years", "public.people.id": "number"}


@pytest.mark.usefixtures("path")
def test_a_table_and_columns_of_other_names_are_followed(make_road: MakeRoad) -> None:
    road = make_road(transform.Rename(names=NAMES))
    road.at_source(
        "CREATE TABLE people (id int PRIMARY KEY, age int, note text)",
        "ALTER TABLE people ALTER note SET STORAGE EXTERNAL",
        "INSERT INTO people SELECT n, n, repeat('x', 3000) || n FROM generate_series(1, 9) n",
    )
    road.run()
    wanted = "SELECT number, years, length(note) FROM staff.person ORDER BY 1"
    assert road.rows(wanted) == [(n, n, 3001) for n in range(1, 10)]
    road.at_source(
        "UPDATE people SET age = 50 WHERE id = 1",
        "UPDATE people SET id = 20 WHERE id = 2",
        "UPDATE people SET id = 21, age = 7, note = 'n' WHERE id = 3",
        "DELETE FROM people WHERE id > 3 AND id < 10",
    )
    road.run()
    assert road.rows(wanted) == [(1, 50, 3001), (20, 2, 3001), (21, 7, 1)]
    road.at_source("ALTER TABLE people ADD COLUMN born date", "UPDATE people SET born = '2000-01-02' WHERE id = 20")
    road.run()
    assert road.rows("SELECT number FROM staff.person WHERE born = '2000-01-02'") == [(20,)]
    road.at_source("TRUNCATE people", "INSERT INTO people VALUES (5, 5, 'five')")
    road.run()
    assert road.rows(wanted) == [(5, 5, 4)]
    assert road.rows("SELECT to_regclass('public.people')") == [(None,)]


@pytest.mark.parametrize("streamed", [False, True], ids=["snapshot", "stream"])
@pytest.mark.parametrize("how", ["schema", "onto"])
def test_two_tables_in_one_are_refused(make_road: MakeRoad, how: str, streamed: bool) -> None:
    second, renames = {
        "schema": ("public.b", {"public.a": "one.t", "public.b": "two.t"}),
        "onto": ("public.t", {"public.a": "public.t"}),
    }[how]
    sink = {"schema": {"one": "crm", "two": "crm"}} if how == "schema" else {}
    road = make_road(transform.Rename(names=renames), **sink)
    place = "crm.t" if how == "schema" else "public.t"
    road.at_source("CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1), (2)")
    if streamed:
        road.run()
    road.at_source(f"CREATE TABLE {second} (id int PRIMARY KEY)", f"INSERT INTO {second} VALUES (1)")
    said = {
        "schema": r"(one|two)\.t would be crm\.t at the target, which holds (one|two)\.t\b",
        "onto": r"rename: both public\.a and public\.t would be public\.t$",
    }[how]
    with pytest.raises(Fatal, match=said):
        road.run()
        road.at_source(f"DELETE FROM {second}")
        road.run()
    if streamed:
        assert road.rows(f"SELECT id FROM {place} ORDER BY 1") == [(1,), (2,)]


def test_two_tables_renamed_to_one_are_refused_before_any_is_read() -> None:
    with pytest.raises(ConfigError, match=r"rename: both public\.a and public\.b would be public\.t"):
        transform.Rename(names={"public.a": "public.t", "public.b": "public.t"})
    transform.Rename(names={"public.a.id": "n", "public.b.id": "n"})


def test_a_column_of_the_name_of_a_constant_is_refused(make_road: MakeRoad) -> None:
    road = make_road(constants={"tenant": "acme"})
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, tenant text)", "INSERT INTO t VALUES (1, 'theirs')")
    with pytest.raises(Fatal, match=r"public\.t has a column tenant, which is a constant of the sink too"):
        road.run()
    assert road.rows("SELECT to_regclass('public.t')") == [(None,)]
