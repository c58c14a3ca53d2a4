"""Where tables of the source go in a DuckDB file: two of them are never one there."""

from pathlib import Path

import pytest

from tailrace.error import Fatal
from tailrace.model import Severity, Table
from tailrace.sink import DuckDB
from tests.unit.sink.feed import NOTES, ORDERS
from tests.unit.sink.shop import Shop

SCHEMAS = {"public": "main", "other": "main"}


def _orders(schema: str, name: str, oid: int | None = None) -> Table:
    return Table(schema, name, ORDERS.columns, key=["id"], oid=oid)


@pytest.mark.parametrize(("schema", "name"), [("other", "orders"), ("public", "Orders")])
def test_two_tables_of_the_source_are_never_one(tmp_path: Path, schema: str, name: str) -> None:
    """Of tables that come from Kafka no number tells that they are two."""
    shop, other = Shop(tmp_path / "s.duckdb", schema=SCHEMAS), _orders(schema, name)
    shop.write(shop.feed.snapshot("a", 1, table=_orders("public", "orders"), begin=True))
    for batch in (
        shop.feed.snapshot("a", 2, table=other, end=True),
        shop.feed.commit(("d", {"id": "1"}), table=other),
        shop.feed.commit(("t", {}), table=other),
    ):
        with pytest.raises(Fatal, match=r"which holds public\.orders"):
            shop.write(batch)
        shop.close()  # a process that begins anew remembers it
    assert shop.rows("main.orders") == [(1, "s1")]


def test_a_check_tells_of_tables_that_would_be_one(tmp_path: Path) -> None:
    tables = [_orders("public", "orders"), _orders("other", "orders"), _orders("public", "Orders"), NOTES]
    found = DuckDB(tmp_path / "s.duckdb", schema=SCHEMAS).check_tables("shop", tables)
    assert [(finding.severity, finding.subject) for finding in found] == [
        (Severity.ERROR, "table other.orders"),
        (Severity.ERROR, "table public.Orders"),
    ]


def test_a_table_that_has_moved_at_the_source_stays_where_it_is(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "s.duckdb", schema=SCHEMAS)
    shop.write(shop.feed.commit(("c", {"id": "1", "note": "a"}), table=_orders("public", "orders", 7)))
    shop.write(shop.feed.commit(("u", {"id": "1", "note": "b"}), table=_orders("other", "orders", 7)))
    assert shop.rows("main.orders") == [(1, "b")]


def test_a_snapshot_may_put_another_table_in_the_place(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "s.duckdb", schema=SCHEMAS)
    shop.write(shop.feed.snapshot("a", 1, table=_orders("public", "orders"), begin=True, end=True))
    shop.write(shop.feed.snapshot("b", 2, table=_orders("other", "orders"), begin=True, end=True))
    shop.write(shop.feed.commit(("c", {"id": "3", "note": "n3"}), table=_orders("other", "orders")))
    assert shop.rows("main.orders") == [(2, "s2"), (3, "n3")]
