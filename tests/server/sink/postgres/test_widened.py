"""Rows of a table version that is older than the column of the target that they go to, in bulk: no value is misread."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest

from tailrace.model import Column, Limits, Table
from tailrace.sink.postgres import Postgres, apply
from tests.server.sink.postgres.road import Road
from tests.server.sink.postgres.test_members import Partition
from tests.unit.sink.feed import LINEAGE, Feed

NARROW = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
WIDE = Table("public", "orders", [Column("id", "numeric", nullable=False), Column("note", "text")], key=["id"])
# An int8 of 5 is the numeric 0 in binary, and this int4 is four letters.
AMBIGUOUS, LETTERS = 5, 1633837924
EXACT = 16777216  # the text of this float4 is exact


@pytest.fixture(autouse=True)
def in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No change goes as a statement."""
    monkeypatch.setattr(apply, "ROWS_MAX", 0)
    monkeypatch.setattr(apply, "WIDE_NBYTES", 1 << 40)


@pytest.mark.parametrize(
    ("narrow", "wide", "large"),
    [
        *(("int8", "numeric", LETTERS), ("int4", "int8", LETTERS), ("int4", "numeric", LETTERS)),
        *(("int4", "text", LETTERS), ("float4", "float8", EXACT)),
    ],
)
def test_a_column_is_widened_within_a_transaction(road: Road, narrow: str, wide: str, large: int) -> None:
    road.at_source(f"CREATE TABLE items (id int PRIMARY KEY, n {narrow})", "INSERT INTO items VALUES (0, 1)")
    road.run()
    with road.source.transaction():
        road.at_source(
            f"INSERT INTO items VALUES (1, {AMBIGUOUS}), (2, {large})",
            f"ALTER TABLE items ALTER n TYPE {wide}",
            f"INSERT INTO items VALUES (3, '{AMBIGUOUS}')",
        )
    road.run()
    road.same("items")


def test_lineages_that_have_seen_other_versions_of_a_table(database: str) -> None:
    old, new = Partition(0), Partition(1)
    writer = Postgres(database).open("p", Limits())
    for partition in (old, new):
        writer.claim(partition.lineage)
    writer.write(old.put(1, table=NARROW))
    writer.write(new.put(2, table=WIDE))
    writer.write(old.put(AMBIGUOUS, table=NARROW))
    writer.close()
    assert keys(database) == [1, 2, AMBIGUOUS]


def test_a_column_that_is_altered_at_the_target(database: str) -> None:
    feed, writer = Feed(), Postgres(database).open("p", Limits())
    writer.claim(LINEAGE)
    writer.write(feed.insert(1))
    with psycopg.connect(database, autocommit=True) as target:
        target.execute("ALTER TABLE orders ALTER id TYPE numeric")
    writer.write(feed.insert(AMBIGUOUS))
    writer.close()
    assert keys(database) == [1, AMBIGUOUS]


def keys(url: str) -> list[Decimal]:
    with psycopg.connect(url) as target:
        return [key for (key,) in target.execute("SELECT id FROM orders ORDER BY id").fetchall()]
