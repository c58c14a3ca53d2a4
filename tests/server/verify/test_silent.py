"""What DDL does to rows that are there, of which no event tells: verify finds it, and `repair` brings it."""

from __future__ import annotations

import pytest

from tailrace.error import Fatal
from tests import waiting
from tests.server.verify.conftest import Target
from tests.server.verify.stand import Stand, found, keys

LABEL = "ALTER TYPE mood RENAME VALUE 'low' TO 'deep'"
ANEW = "ALTER TABLE {} DROP COLUMN n, ADD COLUMN n {}"


@pytest.mark.parametrize(("statement", "wrong"), [
    pytest.param(LABEL, keys(1, 3), id="a label is renamed"),
    pytest.param(ANEW.format("a", "int"), keys(1, 2, 3), id="a column is made anew"),
    pytest.param(ANEW.format("a", "text"), keys(1, 2, 3), id="a column is made anew, retyped"),
])  # fmt: skip
def test_what_a_stopped_pipeline_is_not_told_of_is_found_and_repaired(
    target: Target, statement: str, wrong: set[tuple[str, ...]]
) -> None:
    stand = changed(target, statement)
    assert repaired(stand) == {"different": wrong}


def test_a_table_that_took_the_name_of_another_is_repaired_once_it_is_taken_over(target: Target) -> None:
    stand = changed(target, "DROP TABLE a", "ALTER TABLE b RENAME TO a")
    with pytest.raises(Fatal, match=r"public\.a is another table at the source now") as stopped:
        stand.pipeline.run(until_current=True)
    hint = stopped.value.hint or ""
    target.plant(hint[hint.index("UPDATE") :])
    assert repaired(stand) == {"extra": keys(1, 2), "missing": keys(4, 5), "different": keys(3)}


def changed(target: Target, *statements: str) -> Stand:
    """What `statements` do while nothing runs, and a row after it; the pipeline is to be started."""
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
    return stand


def repaired(stand: Stand) -> dict[str, set[tuple[str, ...]]]:
    """The keys of what was wrong, once that row is there; nothing is wrong any more."""
    stand.start()
    waiting.until(lambda: stand.pipeline.status().changes == 1, "for the change")
    [report] = stand.verify("public.a", repair=True).tables
    assert (report.differences, report.unsettled) == (0, 0)
    return {kind: some for kind, some in found(report).items() if some}
