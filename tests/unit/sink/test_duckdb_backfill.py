"""A column that is added with a default: older rows have it at the source, and no event tells of them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from tailrace.model import Batch, Column, Table
from tests.unit.sink.feed import ORDERS
from tests.unit.sink.shop import Shop

VALUES = {
    "bool": "t",
    "int4": "-7",
    "int8[]": "{1,NULL,3}",
    "float8": "NaN",
    "numeric": "1.50",
    "numeric(12,2)": "1.50",
    "text": 'it\'s "so" %s {} \\x',
    "text[]": '{a,"b c","d\\"e",NULL}',
    "bpchar(4)": "ab  ",
    "bytea": "\\x00ff",
    "date": "infinity",
    "time": "24:00:00",
    "timetz": "12:34:56.5+02",
    "timestamp": "2026-11-22 12:34:56.5",
    "timestamptz": "2026-11-22 12:34:56.5+00",
    "interval": "1 mon -3 days +04:05:06",
    "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "jsonb": '{"a": [1, "x"]}',
    "inet": "10.0.0.1",
    "enum": "low",
}

_V = ((), (Column("v", "int4"),))


def _with(*columns: Column) -> Table:
    return Table("public", "orders", [*ORDERS.columns, *columns], key=["id"])


def _row(id: int, **cells: str | None) -> tuple[str, Mapping[str, str | None]]:
    return ("c", {"id": str(id), "note": f"n{id}", **cells})


def _after_a_kill(path: Path) -> int:
    """How many rows are found in what a process that has the file open would leave behind if it was killed."""
    left = path.with_name("left.duckdb")
    for suffix in ("", ".wal"):
        shutil.copyfile(f"{path}{suffix}", f"{left}{suffix}")
    with duckdb.connect(str(left)) as found:
        [[rows]] = found.execute("SELECT count(*) FROM public.orders").fetchall()
    return int(rows)


@pytest.mark.parametrize("type", VALUES)
def test_older_rows_get_what_the_source_gave_them(shop: Shop, type: str) -> None:
    shop.write(shop.feed.insert(1, 2))
    new = _with(Column("v", type, backfill=VALUES[type], defaulted=True))
    shop.write(shop.feed.commit(_row(3, v=VALUES[type]), _row(4, v=None), table=new))
    assert _after_a_kill(shop.path) == 4
    same = shop.sql("SELECT o.id, o.v IS NOT DISTINCT FROM n.v FROM public.orders o, public.orders n WHERE n.id = 3")
    assert sorted(same) == [(1, True), (2, True), (3, True), (4, False)]
    shop.write(shop.feed.insert(5))  # a dead letter, say: of a row that has no such column nothing is known
    assert shop.sql("SELECT v FROM public.orders WHERE id = 5") == [(None,)]


def test_older_rows_of_the_same_batch_get_it_too(shop: Shop) -> None:
    shop.write(shop.feed.insert(1, 2))
    new = _with(Column("v", "int4", backfill="7", defaulted=True))
    batches = [
        shop.feed.insert(3),
        shop.feed.commit(("u", {"id": "2", "note": "before"}), ("d", {"id": "1"}), table=ORDERS),
        shop.feed.commit(_row(4, v="8"), ("u", {"id": "3", "note": "behind", "v": None}), table=new),
    ]
    shop.write(*Batch.merge(batches))
    assert shop.rows(columns="id, note, v") == [(2, "before", 7), (3, "behind", None), (4, "n4", 8)]


@pytest.mark.parametrize(
    "column",
    [
        Column("v", "int4", defaulted=True),  # a default that is another for each row
        Column("v", "int4", nullable=False),
        Column("v", "numeric(5,2)", backfill="NaN", defaulted=True),
    ],
)
def test_what_is_not_known_is_told(shop: Shop, column: Column, caplog: pytest.LogCaptureFixture) -> None:
    shop.write(shop.feed.insert(1))
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(2, v="1"), table=_with(column)))
    assert shop.sql("SELECT v FROM public.orders WHERE id = 1") == [(None,)]
    (told,) = caplog.messages
    assert told.startswith('the column v is added to "shop"."public"."orders": rows from before have null in it')


@pytest.mark.parametrize(("rows", "column"), [((1,), Column("v", "int4")), ((), Column("v", "int4", nullable=False))])
def test_nothing_is_told_where_nothing_is_missing(
    shop: Shop, rows: tuple[int, ...], column: Column, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write(shop.feed.insert(9), shop.feed.commit(("d", {"id": "9"})), *(shop.feed.insert(row) for row in rows))
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(2, v="1"), table=_with(column)))
    assert not caplog.messages


def test_rows_beside_those_of_others_stay_as_they_are_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(tmp_path / "shared.duckdb", existing="append")
    shop.sql("CREATE SCHEMA public; CREATE TABLE public.orders (id BIGINT, note VARCHAR)")
    shop.sql("INSERT INTO public.orders VALUES (100, 'theirs')")
    shop.write(shop.feed.insert(1))
    with caplog.at_level(logging.WARNING):
        new = _with(Column("v", "int4", backfill="7", defaulted=True))
        shop.write(shop.feed.commit(_row(2, v="7"), table=new))
    assert shop.rows(columns="id, v") == [(1, None), (2, 7), (100, None)]
    assert "since others have rows there" in caplog.text
    shop.close()


def test_a_column_that_is_wider_here_than_at_the_source_and_renamed_there_is_not_taken_for_new(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.sql("CREATE SCHEMA public; CREATE TABLE public.orders (id BIGINT PRIMARY KEY, note VARCHAR, v BIGINT)")
    was, now = (_with(Column(name, "int4", backfill="5", defaulted=True)) for name in ("v", "w"))
    shop.write(shop.feed.commit(_row(1, v="7"), table=was))
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(2, w="8"), table=now))
    assert shop.rows(columns="id, w") == [(1, None), (2, 8)]
    assert "it may be an older one that was renamed" in caplog.text


def test_a_column_without_a_default_that_may_have_been_renamed_or_let_in_is_told(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write(shop.feed.commit(_row(1, v="7"), table=_with(Column("v", "int4"))))
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(2, w="8"), table=_with(Column("w", "int4"))))
        shop.write(shop.feed.commit(_row(3, x="t", w="8"), table=_with(Column("x", "bool"), Column("w", "int4"))))
    assert shop.rows(columns="id, v, w") == [(1, 7, None), (2, None, 8), (3, None, 8)]
    assert [message[:21] for message in caplog.messages] == ["the column w is added", "the column x is added"]


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("steps", [[Column("v", "int4"), None], [Column("v", "int4"), Column("v", "int8")]])
def test_a_table_without_a_number_is_compared_with_its_last_version(
    shop: Shop, caplog: pytest.LogCaptureFixture, steps: list[Column | None], restart: bool
) -> None:
    """A column that was dropped long ago does not become one that is added, and a wider one no narrower one."""
    for n, column in enumerate(steps):
        cells = {} if column is None else {"v": "7"}
        shop.write(shop.feed.commit(_row(n, **cells), table=_with(*(() if column is None else (column,)))))
    if restart:
        shop.close()
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(2, w="8"), table=_with(Column("w", "int4"))))
    assert shop.rows(columns="id, w") == [(0, None), (1, None), (2, 8)]
    assert not caplog.messages


def test_a_column_of_nulls_alone_keeps_the_type_by_which_a_renamed_one_is_known(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    nulls = Column("v", "text", native="unknown")  # as of a delete without a schema
    shop.write(shop.feed.commit(_row(1, v="7"), table=_with(Column("v", "int4"))))
    shop.write(shop.feed.commit(("d", {"id": "8"}), table=_with(nulls)))
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(2, w="8"), table=_with(Column("w", "int4"))))
    assert shop.rows(columns="id, v, w") == [(1, 7, None), (2, None, 8)]
    assert [message[:21] for message in caplog.messages] == ["the column w is added"]


def test_a_column_that_comes_back_is_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    without, there = (Table("public", "orders", _with(*more).columns, key=["id"], oid=7) for more in _V)
    shop.write(shop.feed.commit(_row(1, v="7"), table=there), shop.feed.commit(_row(2), table=without))
    shop.close()  # the pipeline may be stopped meanwhile
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(3, v="8"), table=there), shop.feed.commit(_row(4, v="8"), table=there))
    assert shop.rows(columns="id, v") == [(1, 7), (2, None), (3, 8), (4, 8)]
    (told,) = caplog.messages
    assert told.startswith('the column v was in "shop"."public"."orders" already') and "verify --repair" in told
