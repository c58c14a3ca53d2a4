"""Which way a batch goes: few changes as statements, more as sets. docs/design/0010 says why it is these numbers."""

from __future__ import annotations

import psycopg
import pytest

from tailrace.model import Limits
from tailrace.sink.postgres import Postgres
from tests.unit.sink.feed import LINEAGE, Feed

STAGES = "SELECT count(*)::int FROM pg_class WHERE relname LIKE 'tailrace_stage%' AND relpersistence = 't'"


@pytest.mark.parametrize(("changes", "stages"), [(100, 0), (101, 1)])
def test_a_hundred_changes_are_statements_and_one_more_is_a_set(database: str, changes: int, stages: int) -> None:
    feed, writer = Feed(), Postgres(database).open("p", Limits())
    writer.claim(LINEAGE)
    writer.write(feed.commit(*(("c", {"id": str(key), "note": "old"}) for key in range(changes))))
    writer.write(feed.commit(*(("u", {"id": str(key), "note": "new"}) for key in range(changes))))
    with psycopg.connect(database) as target:
        assert target.execute(STAGES).fetchone() == (stages,)
        assert target.execute("SELECT count(*)::int FROM orders WHERE note = 'new'").fetchone() == (changes,)
    writer.close()
