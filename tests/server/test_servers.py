"""The servers that everything else is tested against keep their promises themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg
import pytest

from servers import debezium, postgres

Start = Callable[..., postgres.Server]
StartDebezium = Callable[..., AbstractContextManager[debezium.Engine]]


def test_a_fresh_database_can_make_a_pgoutput_slot(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        row = connection.execute("SELECT slot_name FROM pg_create_logical_replication_slot('s', 'pgoutput')").fetchone()
    assert row == ("s",)


def test_a_killed_server_comes_back_on_its_port_with_what_was_committed(start_postgres: Start) -> None:
    server = start_postgres(18)
    server.execute("CREATE TABLE kept (id int)")
    port = server.port
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)
    server.start()
    assert server.port == port
    server.execute("SELECT * FROM kept")


def test_a_server_with_tls_shows_a_certificate_that_can_be_verified(start_postgres: Start) -> None:
    server = start_postgres(18, tls=True)
    with psycopg.connect(server.url, sslmode="verify-full", sslrootcert=str(server.certificate)) as connection:
        assert connection.pgconn.ssl_in_use


def test_a_member_of_by_password_is_refused_with_a_wrong_password(start_postgres: Start) -> None:
    server = start_postgres(18)
    server.execute("CREATE ROLE guarded LOGIN PASSWORD 'right' IN ROLE by_password")
    psycopg.connect(server.dsn(user="guarded", password="right")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn(user="guarded", password="wrong"))


def test_debezium_prints_a_snapshot_a_change_and_a_tombstone_byte_for_byte(
    database: str, start_debezium: StartDebezium
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO kept VALUES (1, 'ü\"')")
        with start_debezium(debezium.properties(database)) as engine:
            (row,) = engine.take(1, timeout_s=60)
            connection.execute("DELETE FROM kept")
            deleted, tombstone = engine.take(2, timeout_s=60)
    assert row.topic == "shop.public.kept"
    assert row.key == b'{"id":1}'
    assert row.value is not None
    assert row.value.startswith('{"before":null,"after":{"id":1,"note":"ü\\""},"source":{"version":"3.6'.encode())
    assert deleted.value is not None
    assert (tombstone.key, tombstone.value) == (b'{"id":1}', None)
