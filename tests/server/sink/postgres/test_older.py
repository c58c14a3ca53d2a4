"""Rows that wait behind an ALTER TABLE … TYPE which they are older than: cast with it, as the source's were."""

from __future__ import annotations

import psycopg
import pytest

from tailrace.model import Column, Limits, Table
from tailrace.sink.postgres import Postgres
from tests.server.sink.postgres.road import Road
from tests.unit.sink.feed import LINEAGE, Feed

pytestmark = pytest.mark.usefixtures("path")

WIDENED = [
    ("float4", "0.1", "float8"),
    ("float4[]", "{0.1,NULL}", "float8[]"),
    ("char(5)", "ab", "text"),
    ("char(5)", "ab", "varchar(9)"),
    ("numeric(6,2)", "1.5", "numeric(9,4)"),
]


@pytest.mark.parametrize(("narrow", "value", "wide"), WIDENED)
@pytest.mark.parametrize("whole", [True, False], ids=["one transaction", "transactions"])
def test_rows_from_before_are_cast_with_the_column(road: Road, narrow: str, value: str, wide: str, whole: bool) -> None:
    road.at_source(f"CREATE TABLE items (id int PRIMARY KEY, v {narrow})", f"INSERT INTO items VALUES (1, '{value}')")
    road.run()
    statements = (
        f"INSERT INTO items VALUES (2, '{value}')",
        f"ALTER TABLE items ALTER v TYPE {wide}",
        f"INSERT INTO items VALUES (3, '{value}')",
    )
    if whole:
        road.at_source(*statements)
    for statement in () if whole else statements:
        road.at_source(statement)
    road.run()
    road.same("items")


def test_a_key_from_before_finds_its_row(road: Road) -> None:
    road.at_source(
        "CREATE TABLE items (id char(5) PRIMARY KEY, n int)", "INSERT INTO items VALUES ('ab', 1), ('cd', 1)"
    )
    road.run()
    road.at_source("UPDATE items SET n = 2 WHERE id = 'ab'")
    road.at_source("DELETE FROM items WHERE id = 'cd'")
    road.at_source("ALTER TABLE items ALTER id TYPE text", "INSERT INTO items VALUES ('zz', 3)")
    road.run()
    road.same("items")


def test_a_row_without_a_key_is_found(road: Road) -> None:
    road.at_source("CREATE TABLE items (v char(5), f float4)", "ALTER TABLE items REPLICA IDENTITY FULL")
    road.at_source("INSERT INTO items VALUES ('ab', 0.1), ('cd', 0.2)")
    road.run()
    road.at_source("UPDATE items SET f = 0.3 WHERE v = 'ab'")
    road.at_source("ALTER TABLE items ALTER v TYPE text, ALTER f TYPE float8")
    road.at_source("DELETE FROM items WHERE v = 'cd'")
    road.run()
    road.same("items")


def test_rows_from_behind_are_read_as_the_wider_type(database: str) -> None:
    """What was prepared for the narrow column would go on reading what comes as one."""
    feed, writer = Feed(), Postgres(database).open("p", Limits())
    writer.claim(LINEAGE)
    for type in ("float4", "float8"):
        table = Table("public", "items", [Column("id", "text", nullable=False), Column("v", type)], key=["id"])
        writer.write(feed.commit(("c", {"id": type, "v": "0.1"}), table=table))
    writer.close()
    with psycopg.connect(database) as target:
        assert target.execute("SELECT v FROM items WHERE id = 'float8'").fetchall() == [(0.1,)]
