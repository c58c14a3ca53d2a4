"""Settings of a role, a database or the environment that would change how the server prints a row or a type."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from psycopg.conninfo import conninfo_to_dict

from servers.postgres import Server
from tailrace.dialect.postgres import session
from tailrace.dialect.postgres.digest import PROBE
from tailrace.error import CheckFailed
from tests.server.postgres.reading import Make, Sql


def altered(url: str) -> str:
    return f"ALTER DATABASE {conninfo_to_dict(url)['dbname']}"


@pytest.mark.parametrize(
    ("variable", "value"), [("PGDATESTYLE", "SQL, DMY"), ("PGTZ", "Asia/Tokyo"), ("PGTZ", "UTC+3")]
)
def test_what_libpq_takes_from_the_environment_changes_no_text(
    any_database: str, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    sql(any_database, "CREATE TABLE t (id int PRIMARY KEY, day date, at timestamptz)")
    insert = "INSERT INTO t VALUES ({}, '2026-02-01', '2026-02-01 12:00:00+00')"
    sql(any_database, insert.format(1))
    it = reading(any_database).open().count(1)
    sql(any_database, insert.format(2))
    it.count(2)
    assert it.ops() == ["r", "c"]
    printed = {"day": "2026-02-01", "at": "2026-02-01 12:00:00+00"}
    assert [change.after for change in it.seen] == [{"id": "1", **printed}, {"id": "2", **printed}]


def test_a_database_that_quotes_all_names_changes_no_text(any_database: str, sql: Sql, reading: Make) -> None:
    sql(any_database, "CREATE TABLE t (id int PRIMARY KEY, note text, r regclass)", "INSERT INTO t VALUES (1, '', 't')")
    sql(any_database, f"{altered(any_database)} SET quote_all_identifiers = on")
    it = reading(any_database).open().count(1)
    sql(any_database, "INSERT INTO t VALUES (2, '', 't')")
    it.count(2)
    assert it.ops() == ["r", "c"]
    assert [(change.after or {})["r"] for change in it.seen] == ["public.t", "public.t"]
    natives = {tuple(column.native for column in table.columns) for batch in it.batches for table in batch.tables}
    assert natives == {("integer", "text", "regclass")}


def test_a_database_that_reads_backslashes_in_texts_is_compared_all_the_same(any_database: str, sql: Sql) -> None:
    sql(any_database, f"{altered(any_database)} SET standard_conforming_strings = off")
    with closing(session.connect(any_database)) as connection:
        assert session.fetch(connection, PROBE)


@pytest.mark.parametrize("snapshot", ["initial", "never"])
def test_a_server_whose_log_cannot_be_decoded_is_refused_before_anything_is_made(
    start_postgres: Callable[..., Server], sql: Sql, reading: Make, snapshot: str
) -> None:
    url = start_postgres(18, settings={"wal_level": "replica"}).url
    sql(url, "CREATE TABLE t (id int PRIMARY KEY)")
    it = reading(url, snapshot=snapshot)
    with pytest.raises(CheckFailed, match=r"slot 'tailrace_postgres': wal_level is replica") as refused:
        it.open()
    assert (refused.value.hint or "").startswith("ALTER SYSTEM SET wal_level = 'logical'")
    assert sql(url, "SELECT pubname FROM pg_publication") == []
    assert it.positions.known() == {}
