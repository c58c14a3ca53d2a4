"""Tables that somebody else has locked, and transactions that have not ended: they hold up nothing but themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL

from tailrace._native import Relation
from tailrace.error import Retryable
from tailrace.model import Table
from tailrace.source.postgres import measure, opening
from tailrace.source.postgres.stream import Describer
from tests.server.postgres.reading import Make, Sql


@contextmanager
def transaction(url: str, *statements: str) -> Iterator[psycopg.Connection[Any]]:
    """Leave a transaction open that has run these; the server gives it up, and the test fails, if that waits for it."""
    with psycopg.connect(url, options="-c idle_in_transaction_session_timeout=60s") as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield connection
        connection.commit()


def test_i2_a_locked_table_holds_up_no_change(
    any_database: str, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_ROSTER_S", 0.0)
    monkeypatch.setattr(measure, "_PACE_S", 0.0)
    monkeypatch.setattr(opening, "_LOCK_PATIENCE", SQL("SET lock_timeout = '100ms'"))
    sql(any_database, *(f"CREATE TABLE {table} (id int PRIMARY KEY, n int DEFAULT 7)" for table in ("busy", "free")))
    it = reading(any_database, snapshot="never").open().first()
    sql(any_database, "INSERT INTO busy VALUES (1)")
    with transaction(any_database, "LOCK TABLE busy IN ACCESS EXCLUSIVE MODE") as holder:
        it.count(1)
        sql(any_database, "INSERT INTO free VALUES (2)")
        it.count(2)
        assert holder.execute("SELECT 1").fetchall()
    defaults = {str(table): table.columns[1].default for batch in it.batches for table in batch.tables}
    assert defaults == {"public.busy": "7", "public.free": "7"}


def test_a_start_says_that_a_table_is_locked(database: str, sql: Sql, reading: Make) -> None:
    sql(database, "CREATE TABLE busy (id int PRIMARY KEY)")
    it = reading(database, snapshot="never").open().first()
    it.close()
    with transaction(database, "LOCK TABLE busy IN ACCESS EXCLUSIVE MODE"):
        with pytest.raises(Retryable, match="lock timeout") as caught:
            it.open()
        assert "has locked a table" in str(caught.value)
        it.close()
    it.open()


def test_a_column_that_is_not_committed_may_have_had_a_default(
    any_database: str, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[Table] = []
    describe = Describer.__call__

    def noted(self: Describer, relation: Relation) -> Table:
        described.append(describe(self, relation))
        return described[-1]

    monkeypatch.setattr(Describer, "__call__", noted)
    name = conninfo_to_dict(any_database)["dbname"]
    sql(any_database, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (0)")
    sql(any_database, f"ALTER DATABASE {name} SET logical_decoding_work_mem = '64kB'")
    it = reading(any_database, snapshot="never").open().first()
    rows = "INSERT INTO t SELECT i, repeat('v', 200) FROM generate_series(1, 5000) AS i"
    with transaction(any_database, "ALTER TABLE t ADD v text DEFAULT 'old'", rows):
        it.until(lambda: bool(described))
        assert not it.seen
    it.count(5000)
    [table] = {table for batch in it.batches for table in batch.tables}
    assert [(column.backfill, column.defaulted) for column in table.columns] == [(None, False), (None, True)]
