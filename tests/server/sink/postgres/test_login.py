"""A target behind TLS that asks for a client certificate and for a password: both change while the pipeline runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from servers.certificate import Authority, Signed
from servers.postgres import Server
from tailrace.pipeline import Pipeline
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source
from tailrace.supervisor import Supervisor
from tests.background import beside
from tests.waiting import until

Start = Callable[..., Server]
SERIALS = """
SELECT client_serial FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app' AND client_dn IS NOT NULL
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def target(start_postgres: Start, authority: Authority) -> Server:
    """A server that lets `app` in with a certificate of `authority` and a password."""
    made = start_postgres(18, tls=True)
    made.present(authority.issue("localhost"))
    (made.data / "clients.crt").write_bytes(authority.certificate.read_bytes())
    made.configure(ssl_ca_file="clients.crt")
    hba = made.data / "pg_hba.conf"
    hba.write_text(f"hostssl all app 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n{hba.read_text()}")
    made.execute("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'hunter1'")
    made.execute("SELECT pg_reload_conf()")
    return made


def url(target: Server, authority: Authority, client: Signed) -> str:
    where = f"app@localhost:{target.port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full"
    return f"postgresql://{where}&sslrootcert={authority.certificate}&sslcert={client.certificate}&sslkey={client.key}"


def arrived(target: Server, count: int) -> bool:
    with psycopg.connect(target.url) as connection:
        there = connection.execute("SELECT to_regclass('public.orders')").fetchone() != (None,)
        return there and connection.execute("SELECT count(*) FROM orders").fetchone() == (count,)


def serial(target: Server) -> int:
    """The serial number of the certificate that the pipeline's sessions came with."""
    with psycopg.connect(target.url) as connection:
        [(number,)] = set(connection.execute(SERIALS).fetchall())
    return int(number)


def test_a_certificate_that_is_renewed_and_a_password_that_rotates_are_taken_at_the_next_connection(
    database: str, target: Server, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client, token = authority.issue("app"), tmp_path / "token"
    token.write_text("hunter1\n")
    sink = Sink(url(target, authority, client), password_command=f"cat {token}")
    pipeline = Pipeline(Source(database, tables=["public.orders"]), sink, name="rotating", state_dir=tmp_path)
    supervisor = Supervisor([pipeline])
    with psycopg.connect(database, autocommit=True) as source:
        source.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        source.execute("INSERT INTO orders VALUES (1)")
        supervisor.start()
        with beside(supervisor.wait, supervisor.stop):
            until(lambda: arrived(target, 1), "for the copy")
            before = serial(target)
            authority.issue("app")  # in the place of the one before
            target.execute("ALTER ROLE app PASSWORD 'hunter2'")
            token.write_text("hunter2\n")
            target.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'app'")
            source.execute("INSERT INTO orders VALUES (2), (3)")
            until(lambda: arrived(target, 3), "for what came after")
            after = serial(target)
    assert before != after
    assert pipeline.status().restarts
    assert "hunter" not in caplog.text
