"""The statement of `heartbeat_action_query` on a real server: it runs, it may fail or wait, and a check tells."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import psycopg
import pytest

from tailrace.model import Severity
from tailrace.source import Postgres
from tests.server.postgres.reading import Make, Sql, eventually

_BEATS = "INSERT INTO beats DEFAULT VALUES"


@pytest.fixture
def shop(database: str, sql: Sql) -> str:
    sql(
        database,
        "CREATE TABLE orders (id int PRIMARY KEY)",
        "CREATE TABLE beats (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
    )
    return database


@pytest.fixture
def stranger(shop: str, sql: Sql) -> Iterator[str]:
    """The URL of a role that may replicate, and nothing else."""
    name = psycopg.conninfo.conninfo_to_dict(shop)["dbname"]
    role = f"stranger_{name}"
    sql(shop, f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'p'", f"GRANT SELECT ON orders TO {role}")
    yield psycopg.conninfo.make_conninfo(shop, user=role, password="p")
    sql(shop, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_the_statement_runs_at_each_interval_and_no_more_once_closed(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(
        shop,
        tables=["public.beats"],
        snapshot="never",
        heartbeat_action_query=_BEATS,  # found by the role's own search_path, as a connection of Debezium's finds it
        heartbeat_action_interval_s=0.05,
    ).open()
    it.until(lambda: len(it.seen) >= 3)
    assert {change.table for change in it.seen} == {"public.beats"}
    it.close()
    eventually(lambda: _sessions(shop, sql) == 0)  # the server sees a moment later that it has ended
    rows = sql(shop, "SELECT count(*) FROM beats")
    it.restart(heartbeat_action_query=None).until(lambda: [(len(it.seen),)] == rows)


def test_a_statement_that_fails_is_told_once_and_the_stream_goes_on(
    shop: str, stranger: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(shop, "CREATE PUBLICATION p FOR TABLE orders")
    it = reading(
        stranger,
        name=psycopg.conninfo.conninfo_to_dict(shop)["dbname"],
        publication="p",
        create=False,
        snapshot="never",
        heartbeat_action_query=_BEATS,
        heartbeat_action_interval_s=0.02,
    )
    with caplog.at_level(logging.INFO, logger="tailrace.source.postgres"):
        it.open().until(lambda: "heartbeat_action_query failed" in caplog.text)
        sql(shop, "INSERT INTO orders VALUES (1)")
        it.count(1)
        sql(shop, f"GRANT INSERT ON beats TO stranger_{it.name}")
        it.until(lambda: "heartbeat_action_query works again" in caplog.text)
    assert caplog.text.count("permission denied for table beats (SQLSTATE 42501)") == 1


def test_a_statement_that_waits_holds_neither_the_stream_nor_its_end(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(
        shop,
        tables=["public.orders"],
        snapshot="never",
        heartbeat_action_query=_BEATS,
        heartbeat_action_interval_s=0.02,
    ).open()
    with psycopg.connect(shop) as lock:
        lock.execute("LOCK TABLE beats IN ACCESS EXCLUSIVE MODE")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = '" + _BEATS + "'"
        it.until(lambda: sql(shop, waiting) == [(1,)])
        sql(shop, "INSERT INTO orders VALUES (1)")
        it.count(1)
        it.close()
        eventually(lambda: sql(shop, waiting) == [(0,)])


@pytest.mark.parametrize(
    ("statement", "severity", "message"),
    [
        ("INSERT INTO orders VALUES (1)", Severity.ERROR, "may not run it: permission denied for table orders"),
        ("SELECT count(*) FROM orders", Severity.OK, "may run it"),
        ("INSERT INTO nowhere VALUES (1)", Severity.ERROR, 'would fail: relation "nowhere" does not exist'),
        ("NOTIFY beat", Severity.WARNING, "EXPLAIN cannot tell"),
        ("SELECT 1; DELETE FROM orders", Severity.WARNING, "cannot insert multiple commands"),
        ("SELECT pg_switch_wal()", Severity.ERROR, "permission denied for function pg_switch_wal"),
    ],
)
def test_a_check_says_whether_the_role_may_run_it(
    statement: str, severity: Severity, message: str, shop: str, stranger: str, sql: Sql
) -> None:
    sql(shop, "INSERT INTO orders VALUES (1)")
    findings = Postgres(stranger, tables=["public.orders"], heartbeat_action_query=statement).check()
    (found,) = [finding for finding in findings if finding.subject == "heartbeat_action_query"]
    assert found.severity is severity
    assert message in found.message
    assert sql(shop, "SELECT count(*) FROM orders") == [(1,)]


def _sessions(url: str, sql: Sql) -> int:
    ((count,),) = sql(url, f"SELECT count(*) FROM pg_stat_activity WHERE query = '{_BEATS}'")
    assert isinstance(count, int)
    return count
