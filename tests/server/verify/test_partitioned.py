"""A table in partitions, with an identity and a generated column: compared and repaired as one table."""

from __future__ import annotations

import pytest

from tests.server.verify.conftest import Target
from tests.server.verify.stand import found, keys, only

TABLE = (
    "CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int,"
    " twice int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY RANGE (id)",
    "CREATE TABLE items_low PARTITION OF items FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE items_high PARTITION OF items FOR VALUES FROM (100) TO (1000)",
)
PLANTED = (
    "UPDATE public.items SET n = -1 WHERE id IN (7, 107)",
    "DELETE FROM public.items WHERE id IN (8, 108)",
)
ROWS = "SELECT id, n, twice FROM public.items ORDER BY id"


@pytest.mark.parametrize(
    ("target", "alike"),
    [("duckdb", False), ("postgres", False), ("postgres", True)],
    indirect=["target"],
    ids=["duckdb", "postgres", "postgres, alike"],
)
def test_a_partitioned_table_with_identity_and_generated_columns_is_compared_and_repaired(
    target: Target, alike: bool
) -> None:
    if alike:
        target.prepare(*TABLE)
    stand = target.make()
    for statement in () if alike else TABLE:
        stand.source.execute(statement.encode())
    stand.source.execute("INSERT INTO items (n) SELECT i FROM generate_series(1, 200) i")
    stand.start()
    moved = "UPDATE items SET n = n + 1 WHERE id = 50; DELETE FROM items WHERE id = 51"
    stand.source.execute(moved.encode())
    report = only(stand.verify())
    assert (report.equal, found(report), report.unsettled) == (199, {}, 0)
    target.plant(
        *PLANTED, f"INSERT INTO public.items (id, n) {'OVERRIDING SYSTEM VALUE' if alike else ''} VALUES (999, 0)"
    )
    report = only(stand.verify(repair=True))
    assert found(report) == {"different": keys(7, 107), "missing": keys(8, 108), "extra": keys(999)}
    assert (report.repaired, report.differences, report.unsettled) == (5, 0, 0)
    again = only(stand.verify())
    assert (again.equal, found(again), again.unsettled) == (199, {}, 0)
    if target.kind == "postgres":
        assert target.rows(ROWS) == stand.source.execute(ROWS.encode()).fetchall()
