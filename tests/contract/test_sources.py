"""Every source keeps the source's contract."""

from __future__ import annotations

from itertools import count

import psycopg
import pytest

from tailrace import testing
from tailrace.source.postgres import Postgres
from tailrace.testing.fake import Log, LogSource


def test_the_fake_source_keeps_the_contract() -> None:
    log, keys = Log(), count()
    shown = testing.check_source(
        lambda: LogSource(log), lambda rows: log.commit(*(("c", {"id": str(next(keys))}) for _ in range(rows)))
    )
    assert any("I6" in line for line in shown)


@pytest.mark.parametrize("server", ["database", "database15"])
def test_postgres_keeps_the_contract(server: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(server)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, note text)")
        shown = testing.check_source(
            lambda: Postgres(url=url, tables=["public.orders"]),
            lambda rows: connection.execute("INSERT INTO orders (note) SELECT 'x' FROM generate_series(1, %s)", [rows]),
        )
        slots = connection.execute("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        assert not slots.fetchall()
    assert any("I6" in line for line in shown)


def test_a_source_that_skips_is_found_out() -> None:
    log, keys = Log(), count()

    def commit(rows: int) -> None:
        log.commit(*(("c", {"id": str(next(keys))}) for _ in range(max(1, rows - 1))))

    with pytest.raises(AssertionError):
        testing.check_source(lambda: LogSource(log), commit)
