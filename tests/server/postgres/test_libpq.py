"""A libpq that psycopg did not bring reads a snapshot and a stream all the same."""

from __future__ import annotations

import os
import subprocess
import sys

from servers import postgres
from tests.server.postgres.reading import Sql
from tests.wanting import or_skip

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
    libraries = or_skip(lambda: postgres.install(16)) / "lib"  # first on the path, in case that the system has none
    environment = {**os.environ, "PSYCOPG_IMPL": "python", "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    path, *ops = done.stdout.split()
    assert "psycopg_binary" not in path and ops == ["r", "c"]
