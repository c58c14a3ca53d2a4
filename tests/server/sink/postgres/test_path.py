"""Which way a batch goes: few changes and wide ones as statements, more as sets. docs/design/0010 says why it is these
numbers."""

from __future__ import annotations

import psycopg
import pytest

from tailrace.model import Limits
from tailrace.sink.postgres import Postgres
from tests.unit.sink.feed import LINEAGE, Feed

STAGES = "SELECT count(*)::int FROM pg_class WHERE relname LIKE 'tailrace_stage%' AND relpersistence = 't'"


@pytest.mark.parametrize(
    ("changes", "width", "stages"),
    [
        pytest.param(100, 0, 0, id="a hundred narrow ones"),
        pytest.param(101, 0, 1, id="one more"),
        pytest.param(3, 1 << 20, 0, id="a few very wide ones"),
        pytest.param(300, 4000, 1, id="many, not wide yet"),
        pytest.param(300, 5000, 0, id="many wide ones"),
    ],
)
def test_few_changes_and_wide_ones_are_statements_and_many_narrow_ones_a_set(
    database: str, changes: int, width: int, stages: int
) -> None:
    feed, writer, new = Feed(), Postgres(database).open("p", Limits()), "new" + width * "x"
    writer.claim(LINEAGE)
    writer.write(feed.commit(*(("c", {"id": str(key), "note": "old"}) for key in range(changes))))
    writer.write(feed.commit(*(("u", {"id": str(key), "note": new}) for key in range(changes))))
    with psycopg.connect(database) as target:
        assert target.execute(STAGES).fetchone() == (stages,)
        assert target.execute("SELECT count(*)::int FROM orders WHERE note = %s", [new]).fetchone() == (changes,)
    writer.close()


def test_one_key_that_changes_often_counts_once(database: str) -> None:
    """What a fold leaves out is not written, so it says nothing of how wide the rest is."""
    feed, writer = Feed(), Postgres(database).open("p", Limits())
    writer.claim(LINEAGE)
    notes = [f"{version} {100 * 'x'}" for version in range(60)]
    keys = [str(key) for key in range(101)]
    writer.write(feed.commit(*(("u", {"id": key, "note": note}) for note in notes for key in keys)))
    with psycopg.connect(database) as target:
        assert target.execute(STAGES).fetchone() == (1,)
        assert target.execute("SELECT count(*)::int FROM orders WHERE note = %s", [notes[-1]]).fetchone() == (101,)
    writer.close()
