"""What DDL does to rows that are there, of which no event tells: verify finds it, and `repair` brings it."""

from __future__ import annotations

import pytest

from tests import waiting
from tests.server.verify.conftest import Target
from tests.server.verify.stand import found, keys

LABEL = "ALTER TYPE mood RENAME VALUE 'low' TO 'deep'"
ANEW = "ALTER TABLE {} DROP COLUMN n, ADD COLUMN n {}"


@pytest.mark.parametrize(("statements", "wrong"), [
    pytest.param(
        ("DROP TABLE a", "ALTER TABLE b RENAME TO a"),
        {"extra": keys(1, 2), "missing": keys(4, 5), "different": keys(3)},
        id="another table takes its name",
    ),
    pytest.param((LABEL,), {"different": keys(1, 3)}, id="a label is renamed"),
    pytest.param((ANEW.format("a", "int"),), {"different": keys(1, 2, 3)}, id="a column is made anew"),
    pytest.param((ANEW.format("a", "text"),), {"different": keys(1, 2, 3)}, id="a column is made anew, retyped"),
])  # fmt: skip
def test_what_a_stopped_pipeline_is_not_told_of_is_found_and_repaired(
    target: Target, statements: tuple[str, ...], wrong: dict[str, set[tuple[str, ...]]]
) -> None:
    before = target.make()
    before.source.execute("CREATE TYPE mood AS ENUM ('low', 'high')")
    for table, sign, first in (("a", 1, 1), ("b", -1, 3)):
        before.source.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, n int, m mood)".encode())
        rows = f"SELECT i, {sign} * i, CASE i % 2 WHEN 1 THEN 'low' ELSE 'high' END::mood"
        before.source.execute(f"INSERT INTO {table} {rows} FROM generate_series({first}, {first + 2}) i".encode())
    before.start()
    before.close()
    stand = target.make()
    with stand.source.transaction():
        for statement in statements:
            stand.source.execute(statement.encode())
    stand.source.execute("INSERT INTO a (id, m) VALUES (99, 'high')")
    stand.start()
    waiting.until(lambda: stand.pipeline.status().changes == 1, "for the change")
    [report] = stand.verify("public.a", repair=True).tables
    assert {kind: some for kind, some in found(report).items() if some} == wrong
    assert (report.differences, report.unsettled) == (0, 0)
