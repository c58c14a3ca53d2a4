"""What the role of the pipeline may do is taken from it, before and after the snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from servers.postgres import Server
from tests.fault.conftest import MakePipe
from tests.fault.pipe import CANARY, Pipe
from tests.fault.row import fault, goes_on, stops

Execute = Callable[..., list[tuple[Any, ...]]]
SHOP = f"""CREATE TABLE shop (id int PRIMARY KEY, a int, b text);
    INSERT INTO shop SELECT n, n, '{CANARY}' FROM generate_series(1, 100) n"""


@pytest.fixture
def pipe(make_pipe: MakePipe, start_postgres: Callable[..., Server], execute: Execute) -> Pipe:
    """A pipeline of a role that may do no more than it needs; its publication was made for it."""
    server = start_postgres()
    execute(
        server.url,
        SHOP,
        "CREATE ROLE cdc LOGIN REPLICATION PASSWORD 'first' IN ROLE by_password",
        "GRANT SELECT ON shop TO cdc",
        "CREATE PUBLICATION shop FOR TABLE shop",
    )
    url = server.dsn(user="cdc", password="first")
    return make_pipe(url, "duckdb", direct=server.url, source={"publication": "shop", "create": False})


@fault("SELECT is revoked", "source, streaming: the log needs no right to a table", goes_on())
def test_a_right_that_is_revoked_under_the_stream(pipe: Pipe, execute: Execute) -> None:
    pipe.start()
    pipe.catch_up()
    execute(pipe.direct, "REVOKE SELECT ON shop FROM cdc", "UPDATE shop SET a = a + 1")
    pipe.goes_on()
    execute(pipe.direct, "INSERT INTO shop VALUES (1001, 1, 'x')")
    pipe.resumes()  # a start reads the catalog anew


@fault("SELECT is revoked", "source, before the snapshot", stops(
    3, "cannot …: permission denied for table shop", "goes on after a GRANT, nothing lost"
))  # fmt: skip
def test_a_right_that_is_missing_for_the_snapshot(pipe: Pipe, execute: Execute) -> None:
    execute(pipe.direct, "REVOKE SELECT ON shop FROM cdc")
    pipe.start()
    pipe.stops()
    execute(pipe.direct, "GRANT SELECT ON shop TO cdc")
    pipe.resumes()


@fault("row-level security hides rows", "source, before the snapshot", stops(
    3, "cannot …: query would be affected by row-level security policy for table \"shop\"",
    "goes on after ALTER ROLE … BYPASSRLS, nothing lost",
))  # fmt: skip
def test_row_level_security_before_the_snapshot(pipe: Pipe, execute: Execute) -> None:
    execute(pipe.direct, "ALTER TABLE shop ENABLE ROW LEVEL SECURITY", "CREATE POLICY few ON shop USING (id < 10)")
    pipe.start()
    pipe.stops()
    execute(pipe.direct, "ALTER ROLE cdc BYPASSRLS")
    pipe.resumes()


@fault("row-level security is turned on", "source, streaming: the log is not filtered", goes_on())
def test_row_level_security_under_the_stream(pipe: Pipe, execute: Execute) -> None:
    pipe.start()
    pipe.catch_up()
    execute(
        pipe.direct,
        "ALTER TABLE shop ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON shop USING (id < 10)",
        "UPDATE shop SET a = a + 1",
    )
    pipe.goes_on()


@fault("the role loses REPLICATION", "source, while the pipeline is stopped", stops(
    3, "cannot connect to …: permission denied to start WAL sender",
    "goes on after ALTER ROLE … REPLICATION, nothing lost",
))  # fmt: skip
def test_a_role_that_may_not_replicate_any_more(pipe: Pipe, execute: Execute) -> None:
    pipe.start()
    pipe.catch_up()
    pipe.stop()
    execute(pipe.direct, "ALTER ROLE cdc NOREPLICATION")
    pipe.commits("UPDATE shop SET a = a + 1")
    pipe.start()
    pipe.stops()
    execute(pipe.direct, "ALTER ROLE cdc REPLICATION")
    pipe.resumes()


@fault("the password is changed and the connection ended", "source, streaming", stops(
    2, "cannot connect to …: password authentication failed for user \"cdc\"",
    "goes on with the new password, nothing lost",
))  # fmt: skip
def test_a_password_that_is_changed(pipe: Pipe, execute: Execute) -> None:
    pipe.start()
    pipe.catch_up()
    execute(pipe.direct, "ALTER ROLE cdc PASSWORD 'second'")
    pipe.commits("UPDATE shop SET a = a + 1")
    execute(pipe.direct, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'cdc'")
    pipe.stops()
    assert "first" not in pipe.said
    pipe.url = pipe.url.replace(":first@", ":second@")
    pipe.configure()
    pipe.resumes()
    assert conninfo_to_dict(pipe.url)["password"] == "second"
    assert "second" not in pipe.said
