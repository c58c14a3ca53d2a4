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


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Table, bool]]:
    """What the stream's relations were described as, and whether the catalog showed them."""
    answers: list[tuple[Table, bool]] = []
    describe = Describer.__call__

    def noted(self: Describer, relation: Relation) -> tuple[Table, bool] | None:
        answer = describe(self, relation)
        answers.extend([answer] if answer is not None else [])
        return answer

    monkeypatch.setattr(Describer, "__call__", noted)
    return answers


@pytest.fixture
def streaming(any_database: str, sql: Sql) -> str:
    """A database that streams transactions in progress as soon as they are larger than 64 kB."""
    sql(
        any_database,
        f"ALTER DATABASE {conninfo_to_dict(any_database)['dbname']} SET logical_decoding_work_mem = '64kB'",
    )
    return any_database


ROWS = "INSERT INTO t SELECT i, repeat('v', 200) FROM generate_series(1, 5000) AS i"


def test_what_a_streamed_transaction_has_made_is_described_when_it_commits(
    streaming: str, sql: Sql, reading: Make, described: list[tuple[Table, bool]]
) -> None:
    sql(streaming, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (0)")
    it = reading(streaming, snapshot="never").open().first()
    with transaction(streaming, "ALTER TABLE t ADD v text DEFAULT 'old'", ROWS):
        it.until(lambda: bool(described))
        assert not it.seen
    it.count(5000)
    (for_now, shown), *rest = described
    assert (shown, for_now.columns[-1].defaulted) == (False, True)
    assert [settled for _, settled in rest] == [True]
    [table] = {table.version: table for batch in it.batches for table in batch.tables}.values()
    assert [(column.backfill, column.default) for column in table.columns] == [(None, None), ("old", "'old'::text")]
    sql(streaming, "INSERT INTO t VALUES (5001)")
    it.count(5001)
    assert len(described) == 2


def test_rows_before_a_null_that_a_streamed_transaction_allows_are_described_when_it_commits(
    streaming: str, sql: Sql, reading: Make, described: list[tuple[Table, bool]]
) -> None:
    sql(streaming, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")
    it = reading(streaming, snapshot="never").open().first()
    made = "ALTER TABLE t ADD v text DEFAULT 'old', ALTER n DROP NOT NULL"
    rows = "INSERT INTO t SELECT i, 7, repeat('v', 200) FROM generate_series(1, 5000) AS i"
    with transaction(streaming, made, rows, rows.replace("i, 7,", "-i, NULL,")):
        it.until(lambda: len(described) == 2)
    it.count(10_000)
    assert [shown for _, shown in described] == [False, False, True]
    [table] = {table.version: table for batch in it.batches for table in batch.tables}.values()
    assert [(column.nullable, column.backfill) for column in table.columns] == [
        (False, None),
        (True, None),
        (True, "old"),
    ]


def test_types_that_a_streamed_transaction_has_made_are_those_of_its_rows(
    streaming: str, sql: Sql, reading: Make, described: list[tuple[Table, bool]]
) -> None:
    sql(streaming, "CREATE PUBLICATION p FOR ALL TABLES")
    it = reading(streaming, snapshot="never", publication="p").open().first()
    made = "CREATE TYPE mood AS ENUM ('low', 'high')", "CREATE TABLE t (id int PRIMARY KEY, v text, m mood)"
    with transaction(streaming, *made, ROWS, "ALTER TABLE t ADD n int", ROWS.replace("i,", "-i,")):
        it.until(lambda: bool(described))
    it.count(10_000)
    tables = {table.version: table for batch in it.batches for table in batch.tables}.values()
    assert [[column.type for column in table.columns] for table in tables] == [
        ["int4", "text", "enum"],
        ["int4", "text", "enum", "int4"],
    ]
    assert {table.columns[2].labels for table in tables} == {("low", "high")}


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
@pytest.mark.parametrize("given_up", [True, False])
def test_the_key_that_a_streamed_transaction_leaves_is_that_of_its_rows(
    streaming: str, sql: Sql, reading: Make, described: list[tuple[Table, bool]], given_up: bool, identity: str
) -> None:
    sql(streaming, "CREATE TABLE t (id int NOT NULL, v text)", f"ALTER TABLE t REPLICA IDENTITY {identity}")
    change = "ADD CONSTRAINT k PRIMARY KEY (id)"
    if given_up:
        sql(streaming, f"ALTER TABLE t {change}", "INSERT INTO t VALUES (0)")
        change = "DROP CONSTRAINT k"
    it = reading(streaming, snapshot="never").open().first()
    with transaction(streaming, f"ALTER TABLE t {change}", ROWS, *[ROWS] * given_up):
        it.until(lambda: bool(described))
    it.count(10_000 if given_up else 5_000)
    keys = {table.key for batch in it.batches for table in batch.tables}
    assert keys == {() if given_up else ("id",)}


def test_a_null_of_a_wide_table_in_a_streamed_transaction_makes_no_other_column_possible(
    streaming: str, sql: Sql, reading: Make, described: list[tuple[Table, bool]]
) -> None:
    wide = ", ".join(f"c{number} int" for number in range(67))
    sql(streaming, f"CREATE TABLE t ({wide}, id int PRIMARY KEY, v text)", "ALTER TABLE t REPLICA IDENTITY FULL")
    it = reading(streaming, snapshot="never").open().first()
    with transaction(streaming, "ALTER TABLE t ADD n int DEFAULT 7", ROWS.replace("INTO t", "INTO t (id, v)")):
        it.until(lambda: bool(described))
    it.count(5_000)
    [table] = {table.version: table for batch in it.batches for table in batch.tables}.values()
    assert table.key == ("id",)
    assert [column.name for column in table.columns if not column.nullable] == ["id"]


def test_a_streamed_transaction_that_is_rolled_back_leaves_no_description(
    streaming: str, sql: Sql, reading: Make, described: list[tuple[Table, bool]]
) -> None:
    sql(streaming, "CREATE TABLE t (id int PRIMARY KEY)")
    it = reading(streaming, snapshot="never").open().first()
    with transaction(streaming, "ALTER TABLE t ADD v text DEFAULT 'gone'", ROWS) as writer:
        it.until(lambda: bool(described))
        writer.rollback()
    sql(streaming, "ALTER TABLE t ADD v text DEFAULT 'old'", "INSERT INTO t VALUES (1)")
    it.count(1)
    [table] = it.batches[-1].tables
    assert table.columns[1].default == "'old'::text"
