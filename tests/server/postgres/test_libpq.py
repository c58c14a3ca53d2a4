"""What libpq knows holds for every session: its ways to name a server; and a libpq that psycopg did not bring."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers import postgres
from tailrace.dialect.postgres import session
from tests.server.postgres.reading import Make, Sql

PROGRAM = """
import sys
import psycopg
import tailrace as tr
from tailrace.dialect.postgres import libpq
assert psycopg.pq.__impl__ == "python", psycopg.pq.__impl__
print(libpq.path())
changes = tr.tail(sys.argv[1], tables=["public.orders"], snapshot=True)
print(next(changes).op)
with psycopg.connect(sys.argv[1]) as writer:
    writer.execute("INSERT INTO orders VALUES (2)")
print(next(changes).op)
changes.close()
"""


def test_a_psycopg_without_its_own_libpq_reads_snapshot_and_stream_through_the_systems(database: str, sql: Sql) -> None:
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
    libraries = postgres.install(16) / "lib"  # first on the path, in case that the system has none
    environment = {**os.environ, "PSYCOPG_IMPL": "python", "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    path, *ops = done.stdout.split()
    assert "psycopg_binary" not in path and ops == ["r", "c"]


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder for sockets that everybody may use; the path of one has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="tr", dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.parametrize("way", ["service", "environment", "passfile", "socket", "options"])
def test_a_server_is_found_by_every_way_that_libpq_has(
    start_postgres: Callable[..., postgres.Server],
    sockets: Path,
    tmp_path: Path,
    sql: Sql,
    reading: Make,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    server = start_postgres(18, settings={"unix_socket_directories": str(sockets)})
    hba = server.data / "pg_hba.conf"
    hba.write_text(
        "local all,replication all trust\nhost replication cdc 127.0.0.1/32 scram-sha-256\n" + hba.read_text()
    )
    sql(
        server.url,
        "CREATE ROLE cdc SUPERUSER LOGIN REPLICATION PASSWORD 'secret' IN ROLE by_password",
        "CREATE TABLE orders (id int PRIMARY KEY, due date DEFAULT '2026-12-31')",
        "INSERT INTO orders VALUES (1)",
        "SELECT pg_reload_conf()",
    )
    (tmp_path / "pg_service.conf").write_text(f"[shop]\nhost=127.0.0.1\nport={server.port}\nuser=postgres\n")
    (tmp_path / "pgpass").write_text(f"127.0.0.1:{server.port}:*:cdc:secret\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "pg_service.conf"))
    if way == "environment":
        for name, value in {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}.items():
            monkeypatch.setenv(name, value)
    url = {
        "service": "postgresql:///postgres?service=shop",
        "environment": "postgresql:///postgres",
        "passfile": f"{server.dsn(user='cdc')}?passfile={tmp_path / 'pgpass'}",
        "socket": f"postgresql://postgres@/postgres?host={sockets}&port={server.port}",
        "options": f"{server.url}?options=-c%20datestyle%3DSQL%20-c%20work_mem%3D3MB",
    }[way]
    it = reading(url, "ways", tables=["public.orders"]).open().count(1)
    sql(server.url, "INSERT INTO orders VALUES (2)")
    it.count(2)
    assert it.ops() == ["r", "c"]
    # What we need goes before what the user's options say; the rest of them holds.
    assert [change.after for change in it.seen] == [{"id": str(key), "due": "2026-12-31"} for key in (1, 2)]
    with session.connect(it.source.login) as connection:
        assert (connection.execute("SHOW work_mem").fetchone() == ("3MB",)) == (way == "options")
