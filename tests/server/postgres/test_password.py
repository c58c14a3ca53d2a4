"""A password that a command prints: run at every connection, so that a token may rotate; never shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import make_conninfo

from servers import postgres
from servers.proxy import Proxy
from tailrace.dialect.postgres import password, session
from tailrace.dialect.postgres.session import Login
from tailrace.error import ConfigError, Retryable
from tailrace.model import Severity
from tailrace.sink import Postgres as Target
from tailrace.source import Postgres
from tests.server.postgres.reading import Make, Reading, Sql

Start = Callable[..., postgres.Server]


@pytest.fixture
def server(start_postgres: Start, sql: Sql) -> postgres.Server:
    """A server whose role `cdc` must give a password."""
    made = start_postgres(18)
    sql(made.url, "CREATE ROLE cdc LOGIN REPLICATION PASSWORD 'first' IN ROLE by_password")
    # by_password holds for databases, so replication is made to ask as well
    hba = made.data / "pg_hba.conf"
    hba.write_text("host replication cdc 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    sql(
        made.url, "SELECT pg_reload_conf()", "CREATE TABLE orders (id int PRIMARY KEY)", "GRANT SELECT ON orders TO cdc"
    )
    sql(made.url, "CREATE PUBLICATION p FOR TABLE orders", "INSERT INTO orders VALUES (1)")
    return made


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def reads_until_it_breaks(it: Reading) -> None:
    while True:
        it.read()


def test_a_role_whose_password_changes_mid_run_is_connected_again_after_a_cut(
    server: postgres.Server, token: Path, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Proxy("127.0.0.1", server.port) as proxy:
        url = proxy.through(server.dsn(user="cdc"))
        it = reading(url, "rotating", password_command=f"cat {token}", publication="p", create=False).open().count(1)
        sql(server.url, "ALTER ROLE cdc PASSWORD 'second'", "INSERT INTO orders VALUES (2)")
        token.write_text("second\n")
        it.count(2)
        proxy.cut()
        with pytest.raises(Retryable):
            reads_until_it_breaks(it)
        sql(server.url, "INSERT INTO orders VALUES (3)")
        it.restart().count(3)
    assert "first" not in caplog.text and "second" not in caplog.text


def test_a_password_that_changes_between_command_and_login_is_asked_for_again(
    server: postgres.Server, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    command = f"""sh -c 'test -e {asked} && echo first || (touch {asked}; echo stale)'"""
    session.connect(Login(server.dsn(user="cdc"), command)).close()
    with pytest.raises(ConfigError, match="password authentication failed"):
        session.connect(Login(server.dsn(user="cdc"), "echo stale"))


def test_what_a_host_is_called_has_no_command_run_again(server: postgres.Server, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    url = make_conninfo(server.dsn("nowhere", user="cdc"), host="password-db", hostaddr="127.0.0.1")
    with pytest.raises(ConfigError, match=r'password-db.*database "nowhere" does not exist'):
        session.connect(Login(url, f"sh -c 'echo >> {asked}; echo first'"))
    assert asked.read_text() == "\n"


def test_source_and_sink_check_with_the_commands_password(server: postgres.Server, token: Path) -> None:
    url, command = server.dsn(user="cdc"), f"cat {token}"
    ends = (
        Postgres(url, publication="p", create=False, password_command=command),
        Target(url, password_command=command),
    )
    for end in ends:
        (connection,) = [finding for finding in end.check() if finding.subject == "connection"]
        assert connection.severity is Severity.OK
    token.write_text("wrong")
    for end in ends:
        (connection,) = end.check()
        assert connection.severity is Severity.ERROR and "wrong" not in str(connection)


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [
        ("sh -c 'echo hunter2 >&2; echo hunter2; exit 3'", Retryable, "ended with code 3"),
        ("sh -c 'echo hunter2; echo hunter2'", ConfigError, "did not print one line"),
        ("true", ConfigError, "did not print one line"),
        ("/no/such/command hunter2", ConfigError, "cannot be run: No such file"),
        ("'hunter2", ConfigError, "open quote"),
        (" ", ConfigError, "is empty"),
    ],
)
def test_i9_a_command_that_fails_is_told_without_its_output(
    command: str, error: type[Exception], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=message) as caught:
        password.run(command)
    assert "hunter2" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_command_that_hangs_is_killed_with_all_that_it_started() -> None:
    began = time.monotonic()
    with pytest.raises(Retryable, match=r"longer than 0\.5 s"):
        password.run("sh -c 'sleep 600 & sleep 600'", timeout_s=0.5)
    assert time.monotonic() - began < 300


def test_a_password_in_the_url_and_a_command_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="keep one of the two") as caught:
        Postgres(f"postgresql://cdc:{quote('hunter2')}@db/shop", password_command="cat token")
    assert "hunter2" not in str(caught.value) and "token" not in repr(Postgres("host=db", password_command="cat token"))
